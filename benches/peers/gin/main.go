// Peer with Gin and pgx. It answers a poll as the server does: it reads all columns of the device by primary key, and
// returns the same body. It validates less, and has no tracing, metrics or limits.
//
// Settings come from the environment: DATABASE_URL, POOL_SIZE, PORT_FILE (where to write the address it listens on).
package main

import (
	"context"
	"errors"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// By default pgx prepares it once for each connection.
const findDevice = `SELECT device_id, merchant_id, version, provisioned_at, status, pairing_code, code_issued_at,
    code_expires_at, claimed_by, claimed_at, activated_at, app_version, os, model, seen_at, chain_start, chain_tip,
    decommissioned_at, label, location_id
FROM devices WHERE device_id = $1 LIMIT 1`

type device struct {
	DeviceID, Status                              string
	MerchantID                                    [16]byte
	Version                                       int64
	ProvisionedAt                                 time.Time
	PairingCode, ClaimedBy, AppVersion, OS, Model *string
	CodeIssuedAt, CodeExpiresAt, ClaimedAt        *time.Time
	ActivatedAt, SeenAt, DecommissionedAt         *time.Time
	ChainStart                                    *int64
	ChainHead                                     []byte
	Label                                         *string
	LocationID                                    *[16]byte
}

type statusResponse struct {
	DeviceStatus      string `json:"device_status"`
	IsClaimed         bool   `json:"is_claimed"`
	PairingCodeStatus string `json:"pairing_code_status"`
}

func (d *device) status(now time.Time) statusResponse {
	code := "none"
	switch {
	case d.PairingCode == nil:
	case d.Status != "inactive":
		code = "used"
	case d.CodeExpiresAt != nil && !now.Before(*d.CodeExpiresAt):
		code = "expired"
	default:
		code = "pending"
	}
	return statusResponse{d.Status, d.Status == "claimed" || d.Status == "activated", code}
}

func find(ctx context.Context, pool *pgxpool.Pool, id string) (d device, err error) {
	err = pool.QueryRow(ctx, findDevice, id).Scan(&d.DeviceID, &d.MerchantID, &d.Version, &d.ProvisionedAt, &d.Status,
		&d.PairingCode, &d.CodeIssuedAt, &d.CodeExpiresAt, &d.ClaimedBy, &d.ClaimedAt, &d.ActivatedAt, &d.AppVersion,
		&d.OS, &d.Model, &d.SeenAt, &d.ChainStart, &d.ChainHead, &d.DecommissionedAt, &d.Label, &d.LocationID)
	return d, err
}

func main() {
	config, err := pgxpool.ParseConfig(os.Getenv("DATABASE_URL"))
	if err != nil {
		log.Fatal(err)
	}
	size, err := strconv.ParseInt(os.Getenv("POOL_SIZE"), 10, 32)
	if err != nil {
		log.Fatal(err)
	}
	config.MaxConns = int32(size)
	pool, err := pgxpool.NewWithConfig(context.Background(), config)
	if err != nil {
		log.Fatal(err)
	}
	gin.SetMode(gin.ReleaseMode)
	router := gin.New()
	router.GET("/pos/status", func(c *gin.Context) {
		d, err := find(c.Request.Context(), pool, c.GetHeader("X-Device-Id"))
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			c.JSON(http.StatusNotFound, gin.H{"error": gin.H{"code": "4004", "message": "Device not found"}})
		case err != nil:
			c.JSON(http.StatusServiceUnavailable, gin.H{"error": gin.H{"code": "5003", "message": "Unavailable"}})
		default:
			c.JSON(http.StatusOK, d.status(time.Now()))
		}
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	file := os.Getenv("PORT_FILE")
	if err := os.WriteFile(file+".draft", []byte(listener.Addr().String()), 0o600); err != nil {
		log.Fatal(err)
	}
	if err := os.Rename(file+".draft", file); err != nil {
		log.Fatal(err)
	}
	log.Fatal(http.Serve(listener, router))
}
