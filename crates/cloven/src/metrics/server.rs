//! The HTTP server: one page, for few and patient readers.

use std::{
    convert::Infallible,
    net::{IpAddr, SocketAddr, TcpListener},
    sync::{Arc, Mutex},
    time::Duration,
};

use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode, Uri,
    body::{Bytes, Incoming},
    header::{self, HeaderMap, HeaderName, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpStream,
    sync::oneshot,
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{Shown, locked, page::CONTENT_TYPE};

/// The only page.
const PATH: &str = "/metrics";
/// A longer request head is refused; hyper takes no smaller value.
const MAX_HEAD: usize = 8192;
/// More header lines are refused.
const MAX_HEADERS: usize = 64;
/// How long to leave the door alone when the system cannot accept, such as for want of file descriptors.
const REST: Duration = Duration::from_millis(100);

/// What readers may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Connections at a time; further ones wait in the kernel's queue.
    pub(super) connections: usize,
    /// From the connection to the last byte of the answer.
    pub(super) time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 16,
            time: Duration::from_secs(5),
        }
    }
}

/// Serves until `stopped`'s other end is dropped.
pub(super) fn run(listener: TcpListener, state: Arc<Mutex<Shown>>, limits: Limits, stopped: oneshot::Receiver<()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build();
    // Without a runtime there is no page; the run does not depend on it.
    if let Ok(runtime) = runtime {
        runtime.block_on(async {
            tokio::select! {
                () = serve(listener, &state, limits) => (),
                _ = stopped => (),
            }
        });
    }
}

async fn serve(listener: TcpListener, state: &Arc<Mutex<Shown>>, limits: Limits) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
        return;
    };
    let loopback = listener.local_addr().is_ok_and(|address| address.ip().is_loopback());
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < limits.connections => match accepted {
                Ok((stream, _)) => drop(connections.spawn(timeout(limits.time, converse(stream, state.clone(), loopback)))),
                Err(_) => sleep(REST).await,
            },
            Some(_) = connections.join_next() => (),
        }
    }
}

/// One request on a connection, and its answer.
async fn converse(stream: TcpStream, state: Arc<Mutex<Shown>>, loopback: bool) {
    let answer = service_fn(|request: Request<Incoming>| {
        let answer = answer(&request, &state, loopback);
        async move { Ok::<_, Infallible>(answer) }
    });
    let connection = http1::Builder::new()
        .keep_alive(false)
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(stream), answer);
    // A reader that breaks off harms nobody but itself.
    let _ = connection.await;
}

fn answer<B>(request: &Request<B>, state: &Mutex<Shown>, loopback: bool) -> Response<Full<Bytes>> {
    if loopback && !names_this_machine(request.uri(), request.headers()) {
        let text = "the Host header names another machine; ask for 127.0.0.1 or localhost\n";
        return refusal(StatusCode::FORBIDDEN, text);
    }
    match (request.uri().path(), request.method()) {
        (PATH, &Method::GET) => respond(StatusCode::OK, CONTENT_TYPE, locked(state).page()),
        (PATH, _) => {
            let mut response = refusal(StatusCode::METHOD_NOT_ALLOWED, "only GET\n");
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET"));
            response
        }
        _ => refusal(StatusCode::NOT_FOUND, "the page is /metrics\n"),
    }
}

/// Whether the request is meant for this machine. A web page may have its own name resolve to 127.0.0.1 and so read what only this machine may
/// (DNS rebinding); the browser then names that page's host.
fn names_this_machine(uri: &Uri, headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(only), None) => only.to_str().ok(),
        _ => None,
    };
    host.is_some_and(is_local) && uri.authority().is_none_or(|authority| is_local(authority.as_str()))
}

/// Whether `host` or `host:port` is a name of the loopback interface. Any port will do: it may be forwarded.
fn is_local(host: &str) -> bool {
    let local = |address: IpAddr| address.is_loopback();
    if let Ok(address) = host.parse::<SocketAddr>() {
        return local(address.ip());
    }
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.contains(':') => name,
        _ => host,
    };
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost") || bare.parse().is_ok_and(local)
}

fn refusal(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    respond(status, "text/plain; charset=utf-8", text.to_owned())
}

fn respond(status: StatusCode, content_type: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    let headers: [(HeaderName, &'static str); 3] = [
        (header::CONTENT_TYPE, content_type),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    for (name, value) in headers {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests;
