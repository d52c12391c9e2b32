//! The demo, as a newcomer runs it.

use serinus_tests::lab::binary;
use std::time::Duration;

#[tokio::test]
async fn the_demo_ends_with_a_rollback_its_reasons_and_the_damage() {
    let output = tokio::process::Command::new(binary())
        .args(["demo", "--headless", "--rps", "100"])
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(Duration::from_secs(120), output).await.unwrap().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    for words in [
        "withdrawn",
        "rolled back",
        "failed before their users' eyes",
        "0 requests of users reached the canary after",
        "The journal is in",
        "ended as it should",
    ] {
        assert!(text.contains(words), "no '{words}' in\n{text}");
    }
}
