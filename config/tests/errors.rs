//! What is wrong with a file, as its author sees it.

use serinus_config::parse;
use std::path::Path;

const REST: [(&str, &str); 3] = [
    ("[listener", "[listener.web]\naddress = \"0.0.0.0:8080\"\n"),
    ("[route", "[route.all]\nservice = \"shop\"\n"),
    ("[service", "[service.shop.stable]\nendpoints = [\"app:80\"]\n"),
];

/// Parses `input`, completed below with what a file needs and the input does not have, and
/// compares all that is said of it.
#[track_caller]
fn check(input: &str, expect: &str) {
    let mut text = input.trim_start_matches('\n').to_owned();
    for (header, rest) in REST {
        if !input.contains(header) {
            text.push_str(rest);
        }
    }
    check_alone(&text, expect);
}

/// Parses `input` as it stands and compares all that is said of it.
#[track_caller]
fn check_alone(input: &str, expect: &str) {
    let said = match parse(input, Path::new("s.toml")) {
        Ok(settings) => settings.warnings.join("\n"),
        Err(errors) => errors.to_string(),
    };
    if std::env::var("SHOW").is_ok() {
        println!("-----\n{input}-----\n{said}");
        return;
    }
    assert_eq!(said.trim_end(), expect.trim(), "\n--- said:\n{said}");
}

#[test]
fn an_unknown_key_gets_a_suggestion_or_its_place() {
    check(
        r##"
[server]
grace = "30s"
stat_dir = "x"
stages = []
colour = 1
"##,
        r##"

"##,
    );
    check(
        r##"
[sever]
threads = 1
"##,
        r##"

"##,
    );
    check(
        r##"
[service.shop.stable]
endpoints = ["app:80"]
[service.shop.rolout]
mode = "observe"
"##,
        r##"

"##,
    );
}

#[test]
fn all_errors_of_a_file_come_at_once() {
    check(
        r##"
[server]
threads = "two"
grace_period = "10 parsecs"
[listener.web]
address = "8080"
[probe.p]
service = "shpo"
step = [{ get = "/", expect = { stauts = 200, json = [{ path = "ok" }] } }]
"##,
        r##"

"##,
    );
}

#[test]
fn a_key_that_is_there_twice_does_not_hide_other_errors() {
    check(
        r##"
[server]
threads = 1
threads = 2
grace_period = 5
"##,
        r##"

"##,
    );
    check(
        r##"
[server]
threads = 1
[server]
threads = 2
"##,
        r##"

"##,
    );
}

#[test]
fn broken_syntax_is_shown_where_it_breaks() {
    check(
        r##"
[server
threads = 1
"##,
        r##"

"##,
    );
    check(
        r##"
[server]
state_dir = "never closed
threads = 
"##,
        r##"

"##,
    );
    check(
        r##"
[server]
threads 1
"##,
        r##"

"##,
    );
    check(
        r##"
[server]
threads = [1, 2
"##,
        r##"

"##,
    );
    check(
        r##"
[server]
state_dir = /var/lib
"##,
        r##"

"##,
    );
}

#[test]
fn columns_count_characters() {
    check(
        r##"
[service."größe".stable]
endpoints = ["app:80"]
"##,
        r##"

"##,
    );
    check(
        "\n[route.a]\nservice = \"shop\"\n\thosts = [\"käse.de\", \"Shop.de\"]\n",
        r##"

"##,
    );
}

#[test]
fn a_value_of_the_wrong_type_says_what_was_expected() {
    check(
        r##"
server = 1
[log]
level = 3
access = "yes"
[listener.web]
address = 8080
[service.shop]
stable = "app:80"
[service.bag.stable]
version = 1.8
endpoints = "app:80"
[service.bag.rollout]
mirror = "5%"
sticky = 1
mode = true
margin = "big"
anomaly_threshold = "high"
"##,
        r##"

"##,
    );
}

#[test]
fn durations_have_units() {
    check(
        r##"
[server]
grace_period = "10 parsecs"
[listener.web]
address = "0.0.0.0:80"
header_timeout = 30
keepalive_timeout = "0s"
[service.shop.timeouts]
connect = "1.5s"
read = true
[service.shop.stable]
endpoints = ["app:80"]
"##,
        r##"

"##,
    );
}

#[test]
fn weights_are_hundredths_of_a_percent_and_never_fall() {
    check(
        r##"
[service.shop.stable]
endpoints = ["app:80"]
[service.shop.rollout]
stages = [
  { weight = 0.001, hold = "1m" },
  { weight = 10, hold = "1m" },
  { weight = 5, hold = "1m" },
  { weight = 101, hold = "1m" },
  { weight = -1, hold = "1m" },
]
mirror = 1e9
"##,
        r##"

"##,
    );
}

#[test]
fn stages_are_complete_and_not_empty() {
    check(
        r##"
[service.shop.stable]
endpoints = ["app:80"]
[service.shop.rollout]
stages = []
[service.bag.stable]
endpoints = ["app:80"]
[service.bag.rollout]
stages = [{ weight = 5 }, { hold = "1m" }, {}]
"##,
        r##"

"##,
    );
}

#[test]
fn thresholds_lie_between_0_and_1_and_in_order() {
    check(
        r##"
[service.shop.stable]
endpoints = ["app:80"]
[service.shop.rollout]
anomaly_threshold = 99.9
rollback_threshold = 1.0
resume_threshold = -0.1
margin = 0.5
[service.bag.stable]
endpoints = ["app:80"]
[service.bag.rollout]
resume_threshold = 0.8
[service.tea.stable]
endpoints = ["app:80"]
[service.tea.rollout]
rollback_threshold = 0.1
"##,
        r##"

"##,
    );
}

#[test]
fn looks_and_label_windows_make_sense() {
    check(
        r##"
[service.shop.stable]
endpoints = ["app:80"]
[service.shop.rollout]
evaluation_interval = "99ms"
label_window = ["300s", "60s"]
min_requests = -1
"##,
        r##"

"##,
    );
}

#[test]
fn choices_are_listed_or_suggested() {
    check(
        r##"
[log]
level = "wran"
[service.shop.stable]
endpoints = ["app:80"]
[service.shop.rollout]
mode = "observed"
on_anomaly = "panic"
sticky = "cookies"
[service.bag.stable]
endpoints = ["app:80"]
[service.bag.rollout]
sticky = "header"
[service.tea.stable]
endpoints = ["app:80"]
[service.tea.rollout]
sticky = { heder = "x-user" }
[service.oil.stable]
endpoints = ["app:80"]
[service.oil.rollout]
sticky = { header = "x user:" }
"##,
        r##"

"##,
    );
}

#[test]
fn addresses_are_exact() {
    check(
        r##"
[listener.a]
address = ":8080"
[listener.b]
address = "127.0.0.1"
[listener.c]
address = "localhost:80"
[service.shop.stable]
endpoints = ["http://app:80/x", "app", "app:0", "app:99999", "[::1]:80", "a b:1"]
[service.bag.stable]
endpoints = []
"##,
        r##"

"##,
    );
}

#[test]
fn two_listeners_never_share_an_address() {
    check(
        r##"
[listener.a]
address = "0.0.0.0:8080"
[listener.b]
address = "127.0.0.1:8080"
[listener.c]
address = "127.0.0.1:9901"
[listener.d]
address = "127.0.0.1:0"
[listener.e]
address = "127.0.0.1:0"
"##,
        r##"

"##,
    );
}

#[test]
fn certificates_come_with_keys() {
    check(
        r##"
[listener.web]
address = "0.0.0.0:8443"
[[listener.web.certificate]]
cert = "shop.pem"
[[listener.web.certificate]]
key = ""
[listener.more]
address = "0.0.0.0:8444"
certificate = []
"##,
        r##"

"##,
    );
}

#[test]
fn the_admin_listener_wants_a_token_off_loopback() {
    check(
        r##"
[admin]
listen = "0.0.0.0:9901"
"##,
        r##"

"##,
    );
    check(
        r##"
[admin]
listen = "0.0.0.0:9901"
token = "short"
"##,
        r##"

"##,
    );
    check(
        r##"
[admin]
listen = "0.0.0.0:9901"
token = "0123456789abcdef"
"##,
        r##"

"##,
    );
    check(
        r##"
[admin]
listen = "off"
"##,
        r##"

"##,
    );
}

#[test]
fn routes_lead_to_services_that_are_there() {
    check(
        r##"
[route.a]
service = "shpo"
[route.b]
path_prefix = "/b"
service = "elsewhere"
[route.c]
path_prefix = "/c"
"##,
        r##"

"##,
    );
}

#[test]
fn two_routes_never_match_the_same() {
    check(
        r##"
[route.a]
hosts = ["x.org", "y.org"]
service = "shop"
[route.b]
hosts = ["z.org", "x.org"]
service = "shop"
[route.c]
path_prefix = "/c"
service = "shop"
[route.d]
path_prefix = "/c"
service = "shop"
[route.e]
service = "shop"
[route.f]
service = "shop"
"##,
        r##"

"##,
    );
}

#[test]
fn hosts_are_written_as_they_match() {
    check(
        r##"
[route.a]
service = "shop"
hosts = [
  "shop.example.com:8080",
  "Shop.Example.com",
  "*",
  "www.*.com",
  "*example.com",
  "https://example.com",
  "example.com.",
  "",
  "bücher.de",
  "[::1]",
]
[route.b]
hosts = []
service = "shop"
[route.c]
hosts = ["c.org", "c.org"]
service = "shop"
[route.d]
path_prefix = "api"
service = "shop"
[route.e]
path_prefix = "/e*"
service = "shop"
"##,
        r##"

"##,
    );
}

#[test]
fn a_canary_has_another_version_than_stable() {
    check(
        r##"
[service.shop.stable]
endpoints = ["app:80"]
[service.shop.canary]
endpoints = ["app:81"]
[route.all]
service = "shop"
[route.bag]
service = "bag"
path_prefix = "/bag"
[service.bag.stable]
version = "1"
endpoints = ["app:80"]
[service.bag.canary]
version = "1"
endpoints = ["app:81"]
"##,
        r##"

"##,
    );
    check(
        r##"
[service.shop.canary]
version = "2"
endpoints = ["app:81"]
"##,
        r##"

"##,
    );
    check(
        r##"
[service.shop.stable]
version = ""
endpoints = ["app:80"]
"##,
        r##"

"##,
    );
}

#[test]
fn a_file_that_serves_nothing_is_refused() {
    check_alone("", r##"

"##);
}

#[test]
fn names_fit_into_labels_and_paths() {
    check(
        r##"
[route."a/b"]
service = "shop"
[listener.""]
address = "0.0.0.0:80"
"##,
        r##"

"##,
    );
}

#[test]
fn a_step_does_exactly_one_thing() {
    check(
        r##"
[probe.p]
service = "shop"
[[probe.p.step]]
expect = { status = 200 }
[[probe.p.step]]
get = "/"
post = "/"
[[probe.p.step]]
gte = "/"
[probe.q]
service = "shop"
step = []
[probe.r]
service = "shop"
[probe.s]
service = "shop"
[[probe.s.step]]
click = "a.next"
[[probe.s.step]]
submit = { fields = {} }
"##,
        r##"

"##,
    );
}

#[test]
fn a_request_has_at_most_one_body() {
    check(
        r##"
[probe.p]
service = "shop"
[[probe.p.step]]
post = "/"
json = { a = 1 }
body = "x"
[[probe.p.step]]
get = "/"
form = { a = "1" }
[[probe.p.step]]
submit = { form = "form" }
form = { a = "1" }
[[probe.p.step]]
post = "/"
form = { a = 1 }
[[probe.p.step]]
post = "/"
json = { a = nan }
"##,
        r##"

"##,
    );
}

#[test]
fn patterns_paths_selectors_and_templates_are_valid() {
    check(
        r##"
[probe.p]
service = "shop"
[[probe.p.step]]
get = "/{{ x"
expect = { body_matches = ["ok", "a(b"], body_contains = "{% if %}" }
[[probe.p.step]]
get = "login"
expect = { json = [{ path = "token", equals = 1 }, { path = "$.[", exists = true }] }
[[probe.p.step]]
get = "https://shop.example.com/login?x=1"
expect = { header = [{ name = "content type:", matches = "*" }] }
[[probe.p.step]]
click = "a[["
capture = { t = { css = "??" }, u = { json = "$$" }, v = { regex = "[" } }
"##,
        r##"

"##,
    );
}

#[test]
fn expectations_do_not_contradict_themselves() {
    check(
        r##"
[probe.p]
service = "shop"
[[probe.p.step]]
get = "/"
[probe.p.step.expect]
status = [200, 99, 1.5, "ok"]
json = [{ path = "$.a", equals = 1, matches = "1" }, { path = "$.a", exists = false }, { equals = 1 }]
header = [{ name = "a", equals = "x", exists = true }]
"##,
        r##"

"##,
    );
}

#[test]
fn captures_have_one_source_and_a_free_name() {
    check(
        r##"
[probe.p]
service = "shop"
[[probe.p.step]]
get = "/"
[probe.p.step.capture]
secret = { json = "$.a" }
random = { json = "$.a" }
"my-token" = { json = "$.a" }
a = {}
b = { json = "$.a", css = "a" }
c = { attribute = "href" }
d = { status = false }
e = "$.a"
"##,
        r##"

"##,
    );
}

#[test]
fn templates_name_what_is_known_by_then() {
    check(
        r##"
[probe.p]
service = "shop"
[[probe.p.step]]
post = "/{{ token }}"
json = { list = ["{{ random.uid }}", { deep = "{{ tokn }}" }] }
headers = { x-a = "{{ secret }}", x-b = "{{ secret.ok }}", x-c = "{{ random }}" }
capture = { token = { json = "$.token" } }
[[probe.p.step]]
post = "/{{ tokn }}"
form = { a = "{{ token }}", b = "{{ nothing }}" }
expect = { body_contains = "{{ later }}" }
capture = { later = { header = "x-later" }, broken = { json = "x" } }
[[probe.p.step]]
get = "/{{ later }}/{{ broken }}/{{ range(3) }}/{{ random.int(1, 6) }}"
"##,
        r##"

"##,
    );
}

#[test]
fn a_probe_watches_a_service_that_is_there() {
    check(
        r##"
[probe.p]
service = "shpo"
host = "http://shop"
step = [{ get = "/" }]
[probe.q]
step = [{ get = "/" }]
"##,
        r##"

"##,
    );
}

#[test]
fn what_looks_like_a_mistake_is_a_warning() {
    check(
        r##"
[service.shop.stable]
version = "1"
endpoints = ["app:80"]
[service.shop.canary]
version = "2"
endpoints = ["app:80"]
[service.shop.rollout]
sticky = "none"
stages = [{ weight = 0, hold = "1m" }, { weight = 50, hold = "1m" }]
[service.bag.stable]
endpoints = ["app:80"]
[probe.p]
service = "bag"
timeout = "1s"
[[probe.p.step]]
get = "/"
headers = { Authorization = "Bearer abc", x-a = "b", cookie = "sid={{ secret.sid }}" }
expect = { max_latency = "2s" }
[[probe.p.step]]
submit = { form = "form", fields = { Password = "hunter2" } }
"##,
        r##"

"##,
    );
}

#[test]
fn a_terminal_shows_the_file_and_does_not_obey_it() {
    check(
        "\n[server]\nstate_dir = \"\u{1b}[31mred\"\n",
        r##"

"##,
    );
}
