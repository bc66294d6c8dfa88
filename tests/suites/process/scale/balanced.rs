//! Tests of several replicas behind a load balancer.

use futures_util::future::join_all;
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};

use super::load::Load;
use super::{Deployment, Replica, Way};

/// A portal without a persistent connection: each request may reach another replica.
struct Caller {
    client: Client,
    url: String,
    token: String,
}

impl Caller {
    fn at(url: String, deployment: &Deployment) -> Self {
        let client = Client::builder().no_proxy().pool_max_idle_per_host(0).build().unwrap();
        Self { client, url, token: deployment.token.clone() }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url)).bearer_auth(&self.token)
    }

    async fn initiate(&self) -> Response {
        let host = json!({ "host": "merchant.viopay.io" });
        self.request(Method::POST, "/session/initiate").json(&host).send().await.unwrap()
    }

    /// Whether its session is accepted.
    async fn is_authorized(&self) -> bool {
        let answer = self.request(Method::GET, "/merchant/devices").send().await.unwrap();
        assert!(answer.status() == 200 || answer.status() == 401, "{answer:?}");
        answer.status() == 200
    }

    async fn claim(&self, code: &str) -> u16 {
        let claim = self.request(Method::POST, "/pos/claim").json(&json!({ "pairing_code": code }));
        claim.send().await.unwrap().status().as_u16()
    }

    async fn code(&self, device: &str) -> String {
        let request = self.client.post(format!("{}/pos/pairing-code", self.url)).header("X-Device-Id", device);
        let request = request.header("User-Agent", "Viopay-POS/1.4.2").header("X-Client-Type", "pos");
        let issued: Value = serde_json::from_str(&request.send().await.unwrap().text().await.unwrap()).unwrap();
        issued["pairing_code"].as_str().unwrap().to_owned()
    }
}

fn each(replicas: &[Replica], deployment: &Deployment) -> Vec<Caller> {
    replicas.iter().map(|replica| Caller::at(format!("http://{}", replica.serving.address), deployment)).collect()
}

/// Sessions, concurrent claims and the limit on wrong codes hold across all replicas.
async fn replicas_agree(way: Way) {
    let mut deployment = Deployment::new(way, &[("POS__CLAIM__MAX_FAILURES", "30")]).await;
    let replicas = tokio::task::block_in_place(|| deployment.replicas(3));
    let (anywhere, each) = (Caller::at(deployment.balancer.url(), &deployment), each(&replicas, &deployment));

    // A session that was initiated at one replica is valid at all.
    assert!(!anywhere.is_authorized().await, "no session yet");
    assert_eq!(anywhere.initiate().await.status(), 200);
    for caller in &each {
        assert!(caller.is_authorized().await);
    }

    // Of 24 concurrent claims of one code, one succeeds.
    let device = tokio::task::block_in_place(|| deployment.devices(1)).remove(0);
    let code = anywhere.code(&device).await;
    let answers = join_all((0..24).map(|_| anywhere.claim(&code))).await;
    assert_eq!(answers.iter().filter(|status| **status == 200).count(), 1, "{answers:?}");
    assert_eq!(answers.iter().filter(|status| **status == 400).count(), 23, "{answers:?}");

    // A claim of a code that the same merchant used is not a failure. Failures are counted together at all replicas.
    for number in 0..30 {
        assert_eq!(each[number % 3].claim("ZZZZZZ").await, 400, "failure {number}");
    }
    for caller in &each {
        assert_eq!(caller.claim("ZZZZZZ").await, 429);
    }
    let all = replicas.iter().map(Replica::answered).collect::<Vec<_>>();
    assert!(all.iter().all(|answered| *answered > 0), "each replica answered some: {all:?}");

    // An ended session is rejected everywhere from the next request on.
    let ended = each[1].request(Method::POST, "/session/end").send().await.unwrap();
    assert!(ended.status().is_success(), "{ended:?}");
    for caller in &each {
        assert!(!caller.is_authorized().await);
    }
    deployment.idp.stop().await;
}

/// A replica is added and gets requests; another is stopped. No request fails.
async fn replicas_join_and_leave(way: Way) {
    let mut deployment = Deployment::new(way, &[]).await;
    let mut replicas = tokio::task::block_in_place(|| deployment.replicas(2));
    let devices = tokio::task::block_in_place(|| deployment.devices(2_000));
    let anywhere = Caller::at(deployment.balancer.url(), &deployment);
    assert_eq!(anywhere.initiate().await.status(), 200);

    let load = Load::start(&deployment, 8, devices);
    load.more(200).await;
    let added = tokio::task::block_in_place(|| deployment.replica());
    assert_eq!(added.answered(), 0);
    deployment.balancer.add(&added.serving.address);
    load.until(|_| tokio::task::block_in_place(|| added.answered()) > 50).await;

    let mut leaving = replicas.remove(0);
    tokio::task::block_in_place(|| leaving.stop());
    load.more(200).await;
    let outcome = load.stop().await;
    assert!(outcome.answered > 400 && outcome.claimed.len() > 50, "{} answers", outcome.answered);
    deployment.idp.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn three_replicas_agree_without_a_pooler() {
    replicas_agree(Way::Direct).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn three_replicas_agree_through_pgbouncer() {
    replicas_agree(Way::Pooled).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_replica_joins_and_another_leaves_without_a_pooler() {
    replicas_join_and_leave(Way::Direct).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_replica_joins_and_another_leaves_through_pgbouncer() {
    replicas_join_and_leave(Way::Pooled).await;
}
