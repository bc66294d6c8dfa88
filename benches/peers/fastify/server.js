// Peer with Fastify and pg, in two processes of Node's cluster module. It answers a poll as the server does: it reads all
// columns of the device by primary key, and returns the same body. It validates less, and has no tracing, metrics or
// limits.
//
// Settings come from the environment: DATABASE_URL, POOL_SIZE (of each process), PORT_FILE (where to write the address
// it listens on), WORKERS.
import cluster from 'node:cluster';
import { renameSync, writeFileSync } from 'node:fs';
import Fastify from 'fastify';
import pg from 'pg';

// A named statement is prepared once for each connection.
const FIND_DEVICE = {
  name: 'find_device',
  text: `SELECT device_id, merchant_id, version, provisioned_at, status, pairing_code, code_issued_at,
    code_expires_at, claimed_by, claimed_at, activated_at, app_version, os, model, seen_at, chain_start, chain_tip,
    decommissioned_at, label, location_id
  FROM devices WHERE device_id = $1 LIMIT 1`,
};

function codeStatus(device, now) {
  if (device.pairing_code === null) return 'none';
  if (device.status !== 'inactive') return 'used';
  return now >= device.code_expires_at ? 'expired' : 'pending';
}

// With a schema Fastify serialises the response without inspecting its shape each time.
const schema = {
  response: {
    200: {
      type: 'object',
      properties: {
        device_status: { type: 'string' },
        is_claimed: { type: 'boolean' },
        pairing_code_status: { type: 'string' },
      },
    },
  },
};

async function work() {
  const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: Number(process.env.POOL_SIZE) });
  const app = Fastify({ logger: false });
  app.get('/pos/status', { schema }, async (request, reply) => {
    const { rows } = await pool.query({ ...FIND_DEVICE, values: [request.headers['x-device-id']] });
    const device = rows[0];
    if (device === undefined) {
      return reply.code(404).send({ error: { code: '4004', message: 'Device not found' } });
    }
    return {
      device_status: device.status,
      is_claimed: device.status === 'claimed' || device.status === 'activated',
      pairing_code_status: codeStatus(device, new Date()),
    };
  });
  await app.listen({ host: '127.0.0.1', port: 0 });
}

function lead() {
  const workers = Number(process.env.WORKERS ?? 2);
  let listening = 0;
  cluster.on('listening', (_, { address, port }) => {
    listening += 1;
    if (listening < workers) return;
    const file = process.env.PORT_FILE;
    writeFileSync(`${file}.draft`, `${address}:${port}`);
    renameSync(`${file}.draft`, file);
  });
  // If one process exits, the result would be too low: better no figure than a wrong one.
  cluster.on('exit', () => process.exit(1));
  for (let worker = 0; worker < workers; worker += 1) cluster.fork();
}

if (cluster.isPrimary) lead();
else await work();
