use super::*;
use crate::outcome::Outcome;
use crate::settings::Exposure;
use crate::world::{Course, Effect, Fault, Latency, ProbeRates, Reach, ServiceShape, World};
use std::collections::BTreeSet;

const SECOND: Duration = Duration::from_secs(1);

fn parsed(text: &str) -> Scenario {
    Scenario::parse("dir/some.toml", text).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn every_file_is_shipped_and_every_shipped_scenario_plays() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let files = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let named: BTreeSet<String> =
        files.map(|path| path.file_stem().unwrap().to_string_lossy().into_owned()).collect();
    let shipped = Scenario::shipped();
    assert_eq!(named, shipped.iter().map(|scenario| scenario.name().to_owned()).collect());
    assert_eq!(named.len(), shipped.len(), "none is listed twice");
    for scenario in shipped {
        assert!(!scenario.about().is_empty(), "{}", scenario.name());
        assert_eq!(Scenario::named(scenario.name()), Some(scenario));
        let mut world = World::of_scenario(scenario, 7);
        let exposure = Exposure { weight: world.service().weight, withdrawn: false };
        let seen = (0..200)
            .map(|_| world.tick(SECOND, exposure, ProbeRates::own(0.5)).live.len())
            .sum::<usize>();
        assert!(seen > 50, "{}: {seen}", scenario.name());
    }
}

#[test]
fn the_mix_is_learned_from_what_lasts_and_what_passes() {
    let learned = Scenario::shipped().iter().filter(|scenario| scenario.share() > 0);
    let (mut lasting, mut passing) = (0, 0);
    for scenario in learned {
        match scenario.truth() {
            Some(Truth::Sustained) => lasting += scenario.share(),
            Some(Truth::Transient) => passing += scenario.share(),
            None => {}
            Some(Truth::Null) => panic!("{} has nothing to learn from", scenario.name()),
        }
    }
    assert!(lasting > 30 && passing > 30);
}

#[test]
fn a_file_says_what_the_world_does() {
    let scenario = parsed(
        r#"
about = "All keys"
lasts = "1m30s"
share = 3

[draw]
onset = { between = [10, 20] }

[service]
requests_per_second = 50
weight = 0.2
errors = 0.01
classes = { server_error = 3, reset = 1 }
client_errors = 0.02
timeout = "4s"
bytes = 100
idempotent = 0.5
latency = { median = "10ms", sigma = 0.3 }
[[service.route]]
name = "cart"
share = 3
[[service.route]]
name = "search"
share = 1
latency = { quantiles = { p50 = "20ms", p99 = "200ms", "p99.9" = "2s" } }

[traffic]
swing = 0.25
period = "1h"
phase = 0.5
[[traffic.spike]]
begins = "onset"
lasts = "1m"
times = 3

[probes]
rate = 2
assertions = false

[resources]
known = true
cpu_per_request = 0.004
memory = 1e8

[[fault]]
begins = { draw = "onset", times = 2, plus = "1s" }
lasts = "30s"
course = { pulsing = { period = 4, on = 1 } }
failures = 0.4
classes = { timeout = 1, connect_error = 3 }
endpoints = 0.5
route = "search"
needs_load = 0.5
restarts = true

[[fault]]
reach = "stable"
course = { growing = "1m" }
latency = { mixture = [{ share = 1, median = "1s", sigma = 0.1 }] }
slow_share = 0.1
wrong = 0.2
cpu = 3
memory_per_minute = 0.1
"#,
    );
    assert_eq!((scenario.name(), scenario.share()), ("some", 3));
    assert_eq!(scenario.lasts(), Duration::from_secs(90));
    assert_eq!(scenario.truth(), Some(Truth::Transient));
    let world = World::of_scenario(&scenario, 5);
    let service = world.service();
    assert_eq!(service.route_shares, [0.75, 0.25]);
    assert_eq!(
        service.route_names.iter().map(|name| &**name).collect::<Vec<_>>(),
        ["cart", "search"]
    );
    assert_eq!(service.latencies[0], Latency::log_normal(10e3, 0.3));
    assert!((service.latencies[1].quantile(0.99) - 200e3).abs() < 1.0);
    assert_eq!(service.error_classes, [(0.75, Outcome::ServerError), (0.25, Outcome::Reset)]);
    let numbers = (service.requests_per_second, service.weight, service.error_rate);
    assert_eq!(numbers, (50.0, 0.2, 0.01));
    let numbers =
        (service.client_error_rate, service.bytes, service.idempotent, service.probe_rate);
    assert_eq!(numbers, (0.02, 100, 0.5, 2.0));
    assert_eq!(service.timeout, Duration::from_secs(4));
    assert_eq!((service.probes_assert, service.tells_resources), (false, true));
    assert_eq!((service.cpu_per_request, service.memory), (0.004, 1e8));

    let spike = world.traffic.spikes[0];
    assert!((10.0..20.0).contains(&spike.begins) && spike.times == 3.0);
    assert_eq!(spike.ends, spike.begins + 60.0);
    assert_eq!(
        (world.traffic.swing, world.traffic.period, world.traffic.phase),
        (0.25, 3600.0, 0.5)
    );

    let [refused, hanging, slower] = world.faults() else { panic!("{:?}", world.faults()) };
    let begins = spike.begins * 2.0 + 1.0;
    let course = Course::Pulsing { period: 4.0, on: 1.0 };
    let effect =
        Effect { restarts: true, ..Effect::failing(0.4 * 0.5 * 0.75, Outcome::ConnectError) };
    let expected = Fault {
        route: Some(1),
        needs_load: Some(5.0),
        ..Fault::passing(begins, 30.0, effect).with(course)
    };
    assert_eq!(*refused, expected);
    let effect = Effect::failing(0.4 * 0.5 * 0.25, Outcome::Timeout);
    assert_eq!(*hanging, Fault { effect, ..expected });
    let effect = Effect {
        slow_share: 0.1,
        latency: Some(Latency::log_normal(1e6, 0.1)),
        wrong: 0.2,
        cpu: 3.0,
        memory_per_minute: 0.1,
        ..Effect::NONE
    };
    let growing = Fault::lasting(0.0, effect).with(Course::Growing { over: 60.0 });
    assert_eq!(*slower, Fault { reach: Reach::Stable, ..growing });
}

#[test]
fn draws_have_the_distribution_that_the_file_says() {
    let scenario = parsed(
        r#"
about = "Draws"
[draw]
same = { between = [0.2, 0.4] }
[[fault]]
failures = "same"
wrong = { draw = "same", times = 2 }
slow_factor = { scale = [1, 100] }
begins = { one_of = [1, 2, 2, { between = [3, 4] }] }
lasts = { one_of = ["forever", "10s"] }
class = { one_of = ["reset", "timeout", "timeout"] }
course = { one_of = ["step", { growing = 5 }] }
route = "any"
"#,
    );
    assert_eq!(scenario.truth(), None);
    let worlds: Vec<World> = (0..4000).map(|seed| World::of_scenario(&scenario, seed)).collect();
    let share = |of: &dyn Fn(&Fault) -> bool| {
        worlds.iter().filter(|world| of(&world.faults()[0])).count() as f64 / 4000.0
    };
    let close =
        |found: f64, expected: f64| assert!((found - expected).abs() < 0.04, "{found} {expected}");
    for world in &worlds {
        let effect = world.faults()[0].effect;
        assert_eq!(effect.wrong, effect.failures * 2.0);
        let lasts = world.faults()[0].ends.is_infinite();
        assert_eq!(world.truth(), if lasts { Truth::Sustained } else { Truth::Transient });
        assert!(world.faults()[0].route.unwrap() < world.service().routes());
    }
    close(share(&|fault| fault.effect.failures < 0.3), 0.5);
    close(share(&|fault| fault.effect.slow_factor < 10.0), 0.5);
    close(share(&|fault| fault.begins == 2.0), 0.5);
    close(share(&|fault| fault.begins > 3.0), 0.25);
    close(share(&|fault| fault.ends.is_infinite()), 0.5);
    close(share(&|fault| fault.effect.outcome == Outcome::Timeout), 2.0 / 3.0);
    close(share(&|fault| fault.course == Course::Constant), 0.5);
}

#[test]
fn a_given_service_is_kept() {
    let world = World::with_service(ServiceShape::shop(), &Scenario::shipped()[0], 1);
    assert_eq!(*world.service(), ServiceShape::shop());
}

#[test]
fn the_calibrated_steps_are_exactly_what_the_bounds_are_stated_for() {
    for (name, rate) in [("0_4", 0.004), ("1", 0.01), ("2", 0.02), ("5", 0.05), ("20", 0.2)] {
        for (late, begins) in [("", 0), ("_late", 600)] {
            let scenario = Scenario::named(&format!("yardstick_{name}{late}")).unwrap();
            let world = World::of_scenario(scenario, 3);
            let (base, canary) = world.step().unwrap();
            assert!(base == 0.002 && (canary - rate).abs() < 1e-12, "{name}: {base} {canary}");
            let service = world.service();
            assert_eq!(service.requests_per_second * service.weight, 100.0);
            assert_eq!(service.weight, 0.05);
            assert_eq!(world.fault(), Some((Duration::from_secs(begins), None)));
        }
    }
}

/// What is said of a file, and where.
#[track_caller]
fn refused(text: &str, place: (usize, usize), message: &str, help: &str) {
    let error = Scenario::parse("my/odd.toml", text).unwrap_err();
    assert_eq!((error.line, error.column), place, "{error}");
    assert_eq!((&*error.message, &*error.help), (message, help), "{error}");
}

#[test]
fn a_mistake_is_shown_where_it_is_with_what_to_write() {
    let error = Scenario::parse("my/odd.toml", "about = \"x\"\n[service]\nweigth = 0.1\n");
    let shown = "my/odd.toml:3:1: there is no key 'weigth' here\n  3 | weigth = 0.1\n    | ^^^^^^\n    = help: did you mean 'weight'?";
    assert_eq!(error.unwrap_err().to_string(), shown);

    let number =
        "write a number, a duration like \"30s\", a name of [draw] or { between = [1, 2] }";
    refused("", (1, 1), "the key 'about' is missing", "add about = ..");
    let fault = |line: &str| format!("about = \"x\"\n[[fault]]\n{line}\n");
    refused(&fault("failures = true"), (3, 12), "invalid type: boolean `true`", number);
    refused(
        &fault("failures = { betwen = [1, 2] }"),
        (3, 12),
        "there is no key 'betwen' here",
        "did you mean 'between'?",
    );
    refused(&fault("failures = 1.5"), (3, 12), "1.5 is out of range", "write a share from 0 to 1");
    refused(
        &fault("failures = { between = [0.5, 1.5] }"),
        (3, 12),
        "1.5 is out of range",
        "write a share from 0 to 1",
    );
    refused(
        &fault("begins = { scale = [0, 5] }"),
        (3, 10),
        "a scale cannot begin at 0",
        "write a lower end above 0, or use between",
    );
    refused(
        &fault("begins = { between = [9, 5] }"),
        (3, 10),
        "9 is not below 5",
        "write the smaller one first",
    );
    refused(
        &fault("begins = \"5 minutes\""),
        (3, 10),
        "\"5 minutes\" is not a duration",
        r#"write "250ms", "30s", "5m", "24h" or "1m30s""#,
    );
    refused(
        &fault("begins = \"later\""),
        (3, 10),
        "there is no 'later' in [draw]",
        "add later = { between = [1, 2] } to [draw]",
    );
    refused(
        &fault("begins = \"forever\""),
        (3, 10),
        "\"forever\" is out of range",
        "write a time up to a month, like \"30s\"",
    );
    refused(
        &fault("class = \"sever_error\""),
        (3, 9),
        "there is no choice 'sever_error' here",
        "did you mean 'server_error'?",
    );
    refused(
        &fault("course = { fading = 5 }"),
        (3, 10),
        "what shrinks or fades has an end",
        "give the fault a length: lasts = \"1m\"",
    );
    refused(
        &fault("route = \"cart\""),
        (3, 9),
        "there is no route 'cart'",
        "write one of: all, any",
    );
    refused(
        &fault("latency = { median = \"5ms\" }"),
        (3, 11),
        "a latency is told in one of three ways",
        "write { median, sigma }, { quantiles = { p50, p99 } } or { mixture = [ .. ] }",
    );
    refused(
        &fault("latency = { quantiles = { p50 = 1, q9 = 2 } }"),
        (3, 41),
        "'q9' is no quantile",
        "write p50, p90, \"p99.9\"",
    );
    refused(
        "about = \"x\"\n[draw]\na = { draw = \"b\", times = 2 }\nb = \"a\"\n",
        (3, 5),
        "'b' is drawn from itself",
        "name another draw",
    );
    refused(
        "about = \"x\"\nlasts = { between = [1, 2] }\n",
        (2, 9),
        "all plays of a scenario last equally long",
        "write a duration, like \"30m\"",
    );
    refused(
        "about = \"x\"\n[service]\nroutes = 2\n[[service.route]]\nname = \"a\"\n",
        (3, 10),
        "the routes are counted and listed",
        "leave routes out",
    );
    let error = Scenario::parse("odd", "about = \"x\n").unwrap_err();
    assert_eq!(error.line, 1, "{error}");
}

#[test]
fn a_shipped_file_with_a_damaged_line_is_refused_at_that_line() {
    for (name, text) in SHIPPED {
        for (at, line) in text.lines().enumerate() {
            let Some((key, value)) = line.split_once(" = ") else { continue };
            if line.starts_with('#') || key.contains('{') {
                continue;
            }
            for damaged in [format!("{key}x = {value}"), format!("{key} = [true]")] {
                let draw = text.lines().take(at).collect::<Vec<_>>().join("\n").contains("[draw]");
                let in_draw = draw && !text.lines().take(at).any(|line| line.starts_with("[["));
                if in_draw && damaged.contains("x = ") {
                    continue; // another name, to which nothing leads: told where it is used
                }
                let lines = text.lines().enumerate();
                let lines = lines.map(|(n, line)| if n == at { &*damaged } else { line });
                let whole = lines.collect::<Vec<_>>().join("\n");
                let error = Scenario::parse(name, &whole).unwrap_err();
                let missing = error.message.contains("is missing");
                assert!(error.line == at + 1 || missing, "{damaged}\n{error}");
                assert!(!error.help.is_empty(), "{error}");
            }
        }
    }
}

#[test]
fn the_example_in_the_readme_is_a_scenario() {
    let readme = include_str!("../../../README.md");
    let example = readme.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next());
    let scenario = parsed(example.unwrap());
    assert_eq!(scenario.truth(), Some(Truth::Transient));
    assert_eq!(World::of_scenario(&scenario, 1).faults()[0].effect.failures, 0.05);
}
