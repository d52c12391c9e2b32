//! Steps that always run, times of their own for steps, and what a run may read.

use crate::builder::*;
use crate::raw::{Raw, Then};
use crate::shop::Shop;
use serinus_config::{Body, Capture, Template};
use serinus_models::Outcome;
use std::time::Duration;

fn cleaning(path: &str) -> serinus_config::Step {
    let mut step = request("DELETE", path, Body::Empty);
    step.always_run = true;
    step
}

#[tokio::test]
async fn what_always_runs_cleans_up_after_a_step_that_failed_and_the_failure_stays() {
    let shop = Shop::open().await;
    let id = Capture::Json("$.items[1].id".to_owned());
    let steps = vec![
        get("/json").capture("id", id),
        get("/none"),
        get("/echo/never"),
        cleaning("/echo/{{ id }}"),
    ];
    let run = run(&probe("p", steps), &shop.target).await;
    assert_eq!(run.failure(), Some("step 2 `get /none`: expected a status below 400, got 404"));
    assert_eq!(run.outcome, Outcome::Assertion);
    let names: Vec<_> = run.steps.iter().map(|step| step.name.as_str()).collect();
    assert_eq!(names, ["get /json", "get /none", "delete /echo/{{ id }}"]);
    assert_eq!(run.steps[2].outcome, Outcome::Ok);
    assert_eq!(shop.seen().last().unwrap().path, "/echo/2");
}

#[tokio::test]
async fn a_clean_up_that_fails_is_a_failure_of_its_own_where_all_else_went_well() {
    let shop = Shop::open().await;
    let run = run(&probe("p", vec![get("/json"), cleaning("/gone")]), &shop.target).await;
    let expected = "step 2 `delete /gone`: expected a status below 400, got 404";
    assert_eq!((run.outcome, run.failure()), (Outcome::Assertion, Some(expected)));
}

#[tokio::test]
async fn a_run_out_of_time_still_cleans_up_within_its_time_once_more() {
    let hang = Raw::open(&[""], Then::Hang).await;
    let mut definition = probe("p", vec![get("/"), get("/b"), cleaning("/c")]);
    definition.timeout = Duration::from_millis(100);
    let run = run(&definition, &hang.target).await;
    let told: Vec<_> = run.steps.iter().map(|step| step.failure.as_deref().unwrap()).collect();
    assert_eq!(
        told,
        [
            "step 1 `get /`: expected the run to end within 100ms, it was still waiting for the answer",
            "step 3 `delete /c`: expected the run to end within 100ms, it was still waiting for the answer",
        ]
    );
    assert_eq!(run.outcome, Outcome::Timeout);
}

#[tokio::test]
async fn a_step_has_a_time_of_its_own() {
    let shop = Shop::open().await;
    let mut quick = get("/json");
    quick.timeout = Some(Duration::from_secs(4));
    succeed(vec![quick.clone()], &shop.target).await;
    let hang = Raw::open(&[""], Then::Hang).await;
    quick.timeout = Some(Duration::from_millis(50));
    assert_eq!(
        failure(vec![quick], &hang.target).await,
        "step 1 `get /json`: expected the step to end within 50ms, it was still waiting for the answer"
    );
}

#[tokio::test]
async fn a_body_is_read_up_to_the_size_that_the_probe_says() {
    let shop = Shop::open().await;
    let text =
        |length: usize| vec![request("PUT", "/echo", Body::Raw(Template("x".repeat(length))))];
    let mut definition = probe("p", text(2000));
    definition.max_body = 2000;
    assert_eq!(run(&definition, &shop.target).await.failure(), None);
    definition.steps = text(2001);
    assert_eq!(
        run(&definition, &shop.target).await.failure(),
        Some("step 1 `put /echo`: expected a body of at most 2000 bytes, it is larger")
    );
}
