use super::*;

const MIB: f64 = 1024.0 * 1024.0;

fn using(cpu: f64, memory: f64) -> Resources {
    Resources {
        cpu_cores: Some(cpu * 20.0),
        cpu_seconds_per_request: Some(cpu),
        memory_bytes: Some(memory),
        restarts: Some(0),
        probe_share: Some(1.0),
        ..Resources::default()
    }
}

/// Reasons after `seconds` in which each second gave what `told` says of it.
fn after(seconds: u64, told: impl Fn(f64) -> Pair<Resources>) -> Vec<String> {
    let mut guard = Guard::default();
    for second in 0..seconds {
        guard.take(Timestamp(second * 1000), &told(second as f64));
    }
    let reasons = guard.reasons(Timestamp(seconds * 1000), 1.25);
    assert!(reasons.iter().all(|reason| reason.code == "resources"));
    reasons.into_iter().map(|reason| reason.text).collect()
}

/// Nothing is said of these, whenever one looks.
fn quiet(seconds: u64, told: impl Fn(f64) -> Pair<Resources> + Copy) {
    for end in (10..=seconds).step_by(10) {
        assert_eq!(after(end, told), Vec::<String>::new(), "after {end} s");
    }
}

#[test]
fn a_canary_that_costs_more_cpu_per_request_is_held_after_a_minute_and_a_half() {
    let told = |_| Pair { stable: using(0.010, 50.0 * MIB), canary: using(0.014, 50.0 * MIB) };
    assert_eq!(after(80, told), Vec::<String>::new());
    assert_eq!(
        after(100, told),
        [
            "a request costs the canary 14.0 ms of CPU and stable 10.0 ms, 1.40 times as much, in each of the last three half minutes"
        ]
    );
}

#[test]
fn a_blip_of_cpu_a_tolerated_cost_and_coarse_counters_hold_nothing() {
    let blip = |second: f64| Pair {
        stable: using(0.01, MIB),
        canary: using(if (40.0..80.0).contains(&second) { 0.03 } else { 0.0105 }, MIB),
    };
    quiet(240, blip);
    quiet(200, |_| Pair { stable: using(0.01, MIB), canary: using(0.012, MIB) });
    quiet(200, |_| {
        let coarse = Resources { cpu_cores: Some(0.001), ..using(0.002, MIB) };
        Pair { stable: using(0.001, MIB), canary: coarse }
    });
}

#[test]
fn cpu_is_not_compared_where_one_serves_probes_and_the_other_users() {
    quiet(200, |_| Pair {
        stable: Resources { probe_share: Some(0.01), ..using(0.01, MIB) },
        canary: using(0.03, MIB),
    });
}

#[test]
fn a_leak_without_any_other_sign_is_held() {
    let told = |second: f64| Pair {
        stable: using(0.01, 60.0 * MIB),
        canary: using(0.01, (60.0 + 0.2 * second) * MIB),
    };
    let said = after(110, told);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].starts_with("the canary's memory grew from 6"), "{said:?}");
    assert!(said[0].ends_with("in 90 s and goes on growing; stable's grew by 0.0%"), "{said:?}");
    // A slow one takes the longer spans.
    let slow = |second: f64| Pair {
        stable: using(0.01, 200.0 * MIB),
        canary: using(0.01, (200.0 + 0.04 * second) * MIB),
    };
    assert_eq!(after(300, slow), Vec::<String>::new());
    assert!(after(580, slow)[0].contains("in 540 s"));
}

#[test]
fn what_warms_up_is_full_or_saws_like_stable_is_let_through() {
    quiet(600, |second| Pair {
        stable: using(0.01, 60.0 * MIB),
        canary: using(0.01, (100.0 - 60.0 * libm::exp(-second / 15.0)) * MIB),
    });
    let saw = |second: f64| (60.0 + (second % 200.0) / 4.0) * MIB;
    for end in (300..1200).step_by(50) {
        let said = after(end, |second| Pair {
            stable: using(0.01, saw(second)),
            canary: using(0.01, saw(second + 70.0)),
        });
        assert_eq!(said, Vec::<String>::new(), "after {end} s");
    }
    quiet(200, |second| {
        let both = using(0.01, (60.0 + second) * MIB);
        Pair { stable: both, canary: both }
    });
}

#[test]
fn unknown_is_no_reason() {
    quiet(200, |_| Pair::default());
    quiet(200, |second| Pair {
        stable: Resources::default(),
        canary: using(0.05, (60.0 + second) * MIB),
    });
}

#[test]
fn a_canary_that_starts_again_and_again_is_held_and_one_restart_is_not() {
    let restarting = |times: &'static [f64]| {
        move |second: f64| {
            let restarts = Some(u32::from(times.contains(&second)));
            Pair { stable: using(0.01, MIB), canary: Resources { restarts, ..using(0.01, MIB) } }
        }
    };
    quiet(100, restarting(&[30.0]));
    assert_eq!(
        after(100, restarting(&[30.0, 60.0])),
        ["the canary's processes started 2 times in the last ten minutes, stable's 0 times"]
    );
    assert_eq!(after(800, restarting(&[30.0, 60.0])), Vec::<String>::new(), "long ago");
}

#[test]
fn levels_show_what_is_known_and_how_memory_moves() {
    let mut guard = Guard::default();
    for second in 0..120u64 {
        let canary = Resources {
            network_bytes_per_request: Some(900.0),
            restarts: Some(u32::from(second == 5)),
            ..using(0.02, second as f64 * MIB)
        };
        let resources = Pair { stable: Resources::default(), canary };
        guard.take(Timestamp(second * 1000), &resources);
    }
    let levels = guard.levels(Timestamp(120_000));
    assert_eq!(levels.stable, ResourceLevels::default());
    let canary = levels.canary;
    assert!((canary.memory_bytes_per_minute.unwrap() / MIB - 60.0).abs() < 0.1, "{canary:?}");
    assert_eq!((canary.network_bytes_per_request, canary.restarts), (Some(900.0), Some(1)));
    assert_eq!(canary.cpu_seconds_per_request, Some(0.02));
}
