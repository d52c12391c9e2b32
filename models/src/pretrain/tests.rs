use super::*;

#[test]
fn the_committed_command_makes_the_shipped_file_byte_for_byte() {
    let made = prior().unwrap().to_bytes();
    let shipped = Predictor::shipped().unwrap().to_bytes();
    // Not assert_eq: nobody wants to read two models.
    assert!(made == shipped, "run `cargo run -p serinus-models --example pretrain` and commit");
}

#[test]
fn training_and_test_releases_cannot_meet() {
    const { assert!(TRAINING + TRAINING_RELEASES <= TEST) }
}

#[test]
fn the_same_seeds_play_the_same_episodes() {
    assert_eq!(episodes(5, 6), episodes(5, 6));
}
