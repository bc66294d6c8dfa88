//! Authorization matrix of routes and callers (`table.txt`), tested over real HTTP.

use std::collections::BTreeSet;

use pos_adapters::http::{openapi_json, served_routes};
use pos_application::test_support::{RESELLER, SISTER};
use pos_domain::device::Device;
use pos_domain::shared::{MerchantId, Scope};
use pos_domain::tenancy::{Location, Merchant};
use pos_port_storage::fleet::DevicePage;
use pos_port_storage::tenancy::LocationPage;
use pos_tests::server::{MERCHANT, TestServer, USER_AGENT, send};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::sessions::fixture::{HOST, SECRET, SessionFixture, initiate, on_both_engines};

const CALLERS: [&str; 6] =
    ["no token", "no session", "other merchant", "other reseller", "own merchant", "own reseller"];

/// A row of the table: the outcome for each caller.
struct Row {
    method: Method,
    path: &'static str,
    outcomes: Vec<&'static str>,
}

fn table() -> Vec<Row> {
    let lines = include_str!("table.txt").lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let row = |line: &'static str| {
        let words: Vec<_> = line.split_whitespace().collect();
        assert_eq!(words.len(), 2 + CALLERS.len(), "{line}");
        Row { method: words[0].parse().unwrap(), path: words[1], outcomes: words[2..].to_vec() }
    };
    lines.map(row).collect()
}

#[test]
fn the_table_has_each_route_of_the_server_once() {
    let table = table();
    let named: BTreeSet<(String, &str)> = table.iter().map(|row| (row.method.to_string(), row.path)).collect();
    assert_eq!(named.len(), table.len(), "a route is in the table twice");
    let served: BTreeSet<_> = served_routes().into_iter().map(|(method, path)| (method.to_string(), path)).collect();
    assert_eq!(named, served, "left: the table, right: the server");
}

#[test]
fn the_api_description_has_each_route_except_its_own() {
    let description: Value = serde_json::from_str(openapi_json()).unwrap();
    let mut described = BTreeSet::new();
    for (path, item) in description["paths"].as_object().unwrap() {
        let methods = item.as_object().unwrap().keys().filter(|key| *key != "parameters");
        described.extend(methods.map(|method| (method.to_uppercase(), path.clone())));
    }
    let own = |path: &str| path.starts_with("/docs") || path == "/openapi.json";
    let served = served_routes().into_iter().filter(|(_, path)| !own(path));
    let served: BTreeSet<_> = served.map(|(method, path)| (method.to_string(), path.to_owned())).collect();
    assert_eq!(described, served, "left: the API description, right: the server");
    let items = description["paths"].as_object().unwrap().values();
    let operations = items.flat_map(|item| item.as_object().unwrap().values());
    let ids: Vec<_> = operations.filter_map(|operation| operation["operationId"].as_str()).collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "each operationId is unique");
}

/// Resources of the own merchant, created for one request.
struct Resources {
    device: String,
    location: String,
    code: String,
}

/// All state of the reseller's merchants that a request could change.
async fn snapshot(fixture: &SessionFixture) -> (Vec<Merchant>, Vec<Device>, Vec<Location>) {
    let (mut merchants, mut devices, mut locations) = (Vec::new(), Vec::new(), Vec::new());
    for id in [MERCHANT, SISTER] {
        merchants.extend(fixture.app.storage.directory.find_merchant(Scope::Operator, id).await.unwrap());
        let scope = Scope::Operator;
        let page = DevicePage { merchant_id: Some(id), ..DevicePage::first(scope, 10_000) };
        devices.extend(fixture.app.storage.fleet.list(&page).await.unwrap());
        let page = LocationPage { scope, merchant_id: Some(id), after: None, limit: 10_000 };
        locations.extend(fixture.app.storage.locations.list_locations(&page).await.unwrap());
    }
    (merchants, devices, locations)
}

async fn create_resources(server: &TestServer, ann: &str, row: &Row) -> Resources {
    let device = server.device().await;
    let code = server.code(&device).await;
    if row.path.ends_with("/release") {
        assert_eq!(server.claim(ann, &json!({ "pairing_code": code })).await.status, 200);
    }
    let request = server.request(Method::POST, "/merchant/locations").bearer_auth(ann).json(&json!({"name": "Here"}));
    let location = send(request).await.json()["location_id"].as_str().unwrap().to_owned();
    Resources { device, location, code }
}

/// A valid request to a route.
fn valid_request(fixture: &SessionFixture, server: &TestServer, row: &Row, resources: &Resources) -> RequestBuilder {
    let path = row.path.replace("{merchant_id}", &MERCHANT.to_string()).replace("{device_id}", &resources.device);
    let path = path.replace("{location_id}", &resources.location).replace("{file:.*}", "index.html");
    let request = server.request(row.method.clone(), &path);
    let terminal = |request: RequestBuilder| {
        request.header("X-Device-Id", &resources.device).header("User-Agent", USER_AGENT).header("X-Client-Type", "pos")
    };
    let last = row.path.rsplit('/').find(|part| !part.starts_with('{')).unwrap();
    let body = match (row.method.as_str(), row.path, last) {
        ("POST" | "GET", "/pos/bootstrap" | "/pos/pairing-code" | "/pos/status", _) => return terminal(request),
        ("POST", "/pos/claim", _) => json!({ "pairing_code": resources.code }),
        ("POST", "/session/initiate", _) => json!({ "host": HOST }),
        ("POST", "/session/backchannel-logout", _) => {
            return request.form(&[("logout_token", fixture.logout_token(&json!({"sid": "nobody's"})))]);
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
        ("POST", _, "transfer") => json!({ "merchant_id": SISTER.to_string() }),
        (method, path, _) => panic!("no request is defined for {method} {path}"),
    };
    request.json(&body)
}

async fn each_caller_gets_the_outcome_in_the_table(fixture: SessionFixture) {
    let server = fixture.server();
    let users = [None, Some("ann"), Some("eve"), Some("olga"), Some("ann"), Some("rob")];
    let mut tokens = Vec::new();
    for user in users {
        tokens.push(match user {
            Some(user) => Some(fixture.log_in(user).await.access),
            None => None,
        });
    }
    let mut wrong = Vec::new();
    for row in table() {
        for (number, caller) in CALLERS.into_iter().enumerate() {
            // Earlier rows may have ended or initiated a session.
            for (number, token) in tokens.iter_mut().enumerate() {
                let (Some(user), Some(token)) = (users[number], token) else { continue };
                if number == 1 {
                    crate::sessions::fixture::end(&server, token).await;
                } else if initiate(&server, token).await.status != 200 {
                    *token = fixture.log_in(user).await.access;
                    assert_eq!(initiate(&server, token).await.status, 200);
                }
            }
            let ann = tokens[4].clone().unwrap();
            let resources = create_resources(&server, &ann, &row).await;
            let before = snapshot(&fixture).await;
            let mut request = valid_request(&fixture, &server, &row, &resources);
            if let Some(token) = &tokens[number] {
                request = request.bearer_auth(token);
            }
            let answer = send(request).await;
            let outcome = match answer.status.as_u16() {
                success @ 0..400 => success.to_string(),
                status => {
                    let code = answer.json()["error"]["code"].as_str().unwrap_or("no code").to_owned();
                    assert!(!answer.failure(status, &code).is_empty(), "an error has a message");
                    format!("{status}/{code}")
                }
            };
            if outcome != row.outcomes[number] {
                wrong.push(format!("{} {}, {caller}: {outcome}, not {}", row.method, row.path, row.outcomes[number]));
            }
            let is_foreign = number < 4 && !row.path.starts_with("/pos/p") && !row.path.starts_with("/pos/b");
            if is_foreign {
                assert_eq!(snapshot(&fixture).await, before, "{} {}: {caller} changed something", row.method, row.path);
                let shown = answer.text.replace(&format!("\"device_id\":\"{}\"", resources.device), "");
                let owners: [MerchantId; 2] = [MERCHANT, SISTER];
                let discloses = |id: &MerchantId| shown.contains(&format!("\"merchant_id\":\"{id}\",\"status\""));
                assert!(!owners.iter().any(discloses), "{caller} received a device: {}", answer.text);
                assert!(
                    !answer.text.contains(&format!("\"reseller_id\":\"{RESELLER}\"")),
                    "{caller} received a merchant"
                );
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    server.stop().await;
}

on_both_engines!(each_caller_gets_the_outcome_in_the_table);
