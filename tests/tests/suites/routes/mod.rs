//! The table of routes by caller (`table.txt`), walked over real HTTP.

use std::collections::BTreeSet;

use pos_adapters::http::{openapi_json, served_routes};
use pos_domain::{Device, Location, Merchant, MerchantId, Scope};
use pos_port_storage::{DevicePage, LocationPage};
use pos_tests::server::{MERCHANT, TestServer, USER_AGENT, send};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::sessions::world::{HOST, RESELLER, SECRET, SISTER, World, initiate, on_both_engines};

const CALLERS: [&str; 6] =
    ["no token", "no session", "other merchant", "other reseller", "own merchant", "own reseller"];

/// A line of the table.
struct Row {
    method: Method,
    path: &'static str,
    told: Vec<&'static str>,
}

fn table() -> Vec<Row> {
    let lines = include_str!("table.txt").lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let row = |line: &'static str| {
        let words: Vec<_> = line.split_whitespace().collect();
        assert_eq!(words.len(), 2 + CALLERS.len(), "{line}");
        Row { method: words[0].parse().unwrap(), path: words[1], told: words[2..].to_vec() }
    };
    lines.map(row).collect()
}

#[test]
fn the_table_has_every_route_of_the_server_once() {
    let table = table();
    let named: BTreeSet<(String, &str)> = table.iter().map(|row| (row.method.to_string(), row.path)).collect();
    assert_eq!(named.len(), table.len(), "a route is in the table twice");
    let served: BTreeSet<_> = served_routes().into_iter().map(|(method, path)| (method.to_string(), path)).collect();
    assert_eq!(named, served, "the table on the left, the server on the right");
}

#[test]
fn the_description_has_every_route_but_its_own() {
    let description: Value = serde_json::from_str(openapi_json()).unwrap();
    let mut described = BTreeSet::new();
    for (path, item) in description["paths"].as_object().unwrap() {
        let methods = item.as_object().unwrap().keys().filter(|key| *key != "parameters");
        described.extend(methods.map(|method| (method.to_uppercase(), path.clone())));
    }
    let own = |path: &str| path.starts_with("/docs") || path == "/openapi.json";
    let served = served_routes().into_iter().filter(|(_, path)| !own(path));
    let served: BTreeSet<_> = served.map(|(method, path)| (method.to_string(), path.to_owned())).collect();
    assert_eq!(described, served, "the description on the left, the server on the right");
    let items = description["paths"].as_object().unwrap().values();
    let operations = items.flat_map(|item| item.as_object().unwrap().values());
    let ids: Vec<_> = operations.filter_map(|operation| operation["operationId"].as_str()).collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "an operation's name is its own");
}

/// What a call is about: things of the own merchant, made for the one call.
struct Things {
    device: String,
    location: String,
    code: String,
}

/// All that could be changed of the reseller's merchants.
async fn snapshot(world: &World) -> (Vec<Merchant>, Vec<Device>, Vec<Location>) {
    let (mut merchants, mut devices, mut locations) = (Vec::new(), Vec::new(), Vec::new());
    for id in [MERCHANT, SISTER] {
        merchants.extend(world.storage.directory.find_merchant(Scope::Operator, id).await.unwrap());
        let scope = Scope::Operator;
        let page = DevicePage { merchant_id: Some(id), ..DevicePage::first(scope, 10_000) };
        devices.extend(world.storage.fleet.list(&page).await.unwrap());
        let page = LocationPage { scope, merchant_id: Some(id), after: None, limit: 10_000 };
        locations.extend(world.storage.locations.list_locations(&page).await.unwrap());
    }
    (merchants, devices, locations)
}

async fn make(server: &TestServer, ann: &str, row: &Row) -> Things {
    let device = server.device().await;
    let code = server.code(&device).await;
    if row.path.ends_with("/release") {
        assert_eq!(server.claim(ann, &json!({ "pairing_code": code })).await.status, 200);
    }
    let place = server.request(Method::POST, "/merchant/locations").bearer_auth(ann).json(&json!({"name": "Here"}));
    let location = send(place).await.json()["location_id"].as_str().unwrap().to_owned();
    Things { device, location, code }
}

/// A good call of a route.
fn call(world: &World, server: &TestServer, row: &Row, things: &Things) -> RequestBuilder {
    let path = row.path.replace("{merchant_id}", &MERCHANT.to_string()).replace("{device_id}", &things.device);
    let path = path.replace("{location_id}", &things.location).replace("{file:.*}", "index.html");
    let request = server.request(row.method.clone(), &path);
    let terminal = |request: RequestBuilder| {
        request.header("X-Device-Id", &things.device).header("User-Agent", USER_AGENT).header("X-Client-Type", "pos")
    };
    let last = row.path.rsplit('/').find(|part| !part.starts_with('{')).unwrap();
    let body = match (row.method.as_str(), row.path, last) {
        ("POST" | "GET", "/pos/bootstrap" | "/pos/pairing-code" | "/pos/status", _) => return terminal(request),
        ("POST", "/pos/claim", _) => json!({ "pairing_code": things.code }),
        ("POST", "/session/initiate", _) => json!({ "host": HOST }),
        ("POST", "/session/backchannel-logout", _) => {
            return request.form(&[("logout_token", world.logout_token(&json!({"sid": "nobody's"})))]);
        }
        ("POST", "/reseller/devices/import", _) => {
            let number = uuid::Uuid::new_v4().as_fields().0;
            let file = format!("device_id,merchant_id\nPOS-{number:08X},{MERCHANT}\n");
            return request.header("Content-Type", "text/csv").body(file);
        }
        ("POST", "/client/session" | "/auth/token", _) => json!({ "client_id": "till", "client_secret": SECRET }),
        ("GET", ..) | ("POST", _, "end" | "release" | "decommission") => return request,
        ("POST", _, "devices") | ("PATCH", _, "devices") => json!({ "label": "Till" }),
        ("POST" | "PATCH", _, "locations" | "merchants") => json!({ "name": "Another" }),
        ("POST", _, "move") => json!({ "merchant_id": SISTER.to_string() }),
        (method, path, _) => panic!("what is to be sent to {method} {path}?"),
    };
    request.json(&body)
}

async fn every_caller_is_told_what_the_table_says(world: World) {
    let server = world.server();
    let users = [None, Some("ann"), Some("eve"), Some("olga"), Some("ann"), Some("rob")];
    let mut tokens = Vec::new();
    for user in users {
        tokens.push(match user {
            Some(user) => Some(world.log_in(user).await.access),
            None => None,
        });
    }
    let mut wrong = Vec::new();
    for row in table() {
        for (number, caller) in CALLERS.into_iter().enumerate() {
            // Rows before may have ended or begun a session.
            for (number, token) in tokens.iter_mut().enumerate() {
                let (Some(user), Some(token)) = (users[number], token) else { continue };
                if number == 1 {
                    crate::sessions::world::end(&server, token).await;
                } else if initiate(&server, token).await.status != 200 {
                    *token = world.log_in(user).await.access;
                    assert_eq!(initiate(&server, token).await.status, 200);
                }
            }
            let ann = tokens[4].clone().unwrap();
            let things = make(&server, &ann, &row).await;
            let before = snapshot(&world).await;
            let mut request = call(&world, &server, &row, &things);
            if let Some(token) = &tokens[number] {
                request = request.bearer_auth(token);
            }
            let answer = send(request).await;
            let told = match answer.status.as_u16() {
                good @ 0..400 => good.to_string(),
                bad => {
                    let code = answer.json()["error"]["code"].as_str().unwrap_or("no code").to_owned();
                    assert!(!answer.failure(bad, &code).is_empty(), "a failure has a message");
                    format!("{bad}/{code}")
                }
            };
            if told != row.told[number] {
                wrong.push(format!("{} {}, {caller}: {told}, not {}", row.method, row.path, row.told[number]));
            }
            let is_stranger = number < 4 && !row.path.starts_with("/pos/p") && !row.path.starts_with("/pos/b");
            if is_stranger {
                assert_eq!(snapshot(&world).await, before, "{} {}: {caller} changed something", row.method, row.path);
                let shown = answer.text.replace(&format!("\"device_id\":\"{}\"", things.device), "");
                let owners: [MerchantId; 2] = [MERCHANT, SISTER];
                let tells = |id: &MerchantId| shown.contains(&format!("\"merchant_id\":\"{id}\",\"status\""));
                assert!(!owners.iter().any(tells), "{caller} was shown a device: {}", answer.text);
                assert!(
                    !answer.text.contains(&format!("\"reseller_id\":\"{RESELLER}\"")),
                    "{caller} was shown a merchant"
                );
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    server.stop().await;
}

on_both_engines!(every_caller_is_told_what_the_table_says);
