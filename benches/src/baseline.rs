//! Baseline handler: actix-web without any application work, which returns the body of a poll.

use std::net::TcpListener;
use std::path::Path;
use std::thread::available_parallelism;

use actix_web::{App, HttpResponse, HttpServer, web};
use pos_server::settings::{Settings, process_environment};
use serde::Serialize;

use crate::processes;

#[derive(Serialize)]
struct StatusResponse {
    device_status: &'static str,
    is_claimed: bool,
    pairing_code_status: &'static str,
}

async fn status() -> HttpResponse {
    let response = StatusResponse { device_status: "inactive", is_claimed: false, pairing_code_status: "pending" };
    HttpResponse::Ok().json(response)
}

/// Serves with the server's own settings for workers, connections and timeouts, until standard input is closed.
pub(crate) async fn serve(port_file: &Path) -> anyhow::Result<()> {
    processes::exit_when_stdin_closes();
    let http = Settings::load(None, process_environment())?.http;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let workers = if http.workers == 0 { available_parallelism()?.get() } else { http.workers };
    let server = HttpServer::new(|| App::new().route("/pos/status", web::get().to(status)))
        .workers(workers)
        .max_connections(http.max_connections)
        .keep_alive(http.keep_alive)
        .client_request_timeout(http.client_header_timeout)
        .tcp_nodelay(true)
        .disable_signals()
        .listen(listener)?
        .run();
    processes::write_address(port_file, address)?;
    Ok(server.await?)
}
