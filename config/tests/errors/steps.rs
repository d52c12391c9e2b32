//! Steps of probes: what they send, and what they expect.

use crate::check;

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
s.toml:3:1: this step does nothing
  3 | [[probe.p.step]]
    | ^^^^^^^^^^^^^^^^
    = help: add one of get, post, put, delete, patch, head, options, submit, click

s.toml:7:1: a step does one thing, not both 'get /' and 'post /'
  7 | post = "/"
    | ^^^^
    = help: make a step of each

s.toml:8:1: this step does nothing
  8 | [[probe.p.step]]
    | ^^^^^^^^^^^^^^^^
    = help: add one of get, post, put, delete, patch, head, options, submit, click

s.toml:9:1: unknown key 'gte' in [probe.p.step]
  9 | gte = "/"
    | ^^^
    = help: did you mean 'get'?

s.toml:12:8: a probe without steps sees nothing
  12 | step = []
     |        ^^
     = help: write at least one: [{ get = "/" }]

s.toml:13:1: missing key 'step' in [probe.r]
  13 | [probe.r]
     | ^^^^^^^^^
     = help: add [[probe.r.step]] with get = "/", or browser = "recording.json"

s.toml:18:1: there is no page yet to find this on
  18 | click = "a.next"
     | ^^^^^
     = help: put a step before it that gets the page

s.toml:20:10: missing key 'form' in [probe.s.step.submit]
  20 | submit = { fields = {} }
     |          ^^^^^^^^^^^^^^^
     = help: add form = ...: CSS selector of the form
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
s.toml:6:1: a request has one body, not 'json' and 'body'
  6 | body = "x"
    | ^^^^
    = help: keep one of json, form and body

s.toml:9:1: this request has no body
  9 | form = { a = "1" }
    | ^^^^
    = help: send it with post, put or patch

s.toml:12:1: the form makes the body of a submit step
  12 | form = { a = "1" }
     | ^^^^
     = help: write what is filled in as submit = { form = ..., fields = { ... } }

s.toml:15:14: expected a string, found a whole number
  15 | form = { a = 1 }
     |              ^
     = help: write it in quotes, like "7" or "{{ token }}"

s.toml:18:14: nan cannot be written in JSON
  18 | json = { a = nan }
     |              ^^^
     = help: JSON has finite numbers only
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
s.toml:4:7: bad template: unexpected end of input, expected end of variable block
  4 | get = "/{{ x"
    |       ^^^^^^^
    = help: write "{{ name }}"; a literal brace pair is "{{ '{{' }}"

s.toml:5:34: bad regular expression: unclosed group
  5 | expect = { body_matches = ["ok", "a(b"], body_contains = "{% if %}" }
    |                                  ^^^^^
    = help: '.' is any character, '\.' a dot; in TOML, 'single quotes' keep backslashes

s.toml:5:58: bad template: unexpected end of block
  5 | expect = { body_matches = ["ok", "a(b"], body_contains = "{% if %}" }
    |                                                          ^^^^^^^^^^
    = help: write "{{ name }}"; a literal brace pair is "{{ '{{' }}"

s.toml:7:7: path "login" does not begin with '/'
  7 | get = "login"
    |       ^^^^^^^
    = help: write "/login"

s.toml:8:29: "token" is not a JSONPath
  8 | expect = { json = [{ path = "token", equals = 1 }, { path = "$.[", exists = true }] }
    |                             ^^^^^^^
    = help: a path begins with '$': "$.token"

s.toml:8:61: "$.[" is not a JSONPath
  8 | expect = { json = [{ path = "token", equals = 1 }, { path = "$.[", exists = true }] }
    |                                                             ^^^^^
    = help: write a path like "$.token", "$.items[0].id" or "$..price"

s.toml:10:7: path "https://shop.example.com/login?x=1" does not begin with '/'
  10 | get = "https://shop.example.com/login?x=1"
     |       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
     = help: write "/login?x=1": probes go to the endpoints; 'host' of the probe is what they say as Host

s.toml:11:31: "content type:" cannot be the name of a header
  11 | expect = { header = [{ name = "content type:", matches = "*" }] }
     |                               ^^^^^^^^^^^^^^^
     = help: write the name alone, without colon and spaces: "x-user-id"

s.toml:11:58: bad regular expression: repetition operator missing expression
  11 | expect = { header = [{ name = "content type:", matches = "*" }] }
     |                                                          ^^^
     = help: '.' is any character, '\.' a dot; in TOML, 'single quotes' keep backslashes

s.toml:13:9: "a[[" is not a CSS selector
  13 | click = "a[["
     |         ^^^^^
     = help: write one like "form#login", "a.next" or "input[name=token]"

s.toml:14:25: "??" is not a CSS selector
  14 | capture = { t = { css = "??" }, u = { json = "$$" }, v = { regex = "[" } }
     |                         ^^^^
     = help: write one like "form#login", "a.next" or "input[name=token]"

s.toml:14:46: "$$" is not a JSONPath
  14 | capture = { t = { css = "??" }, u = { json = "$$" }, v = { regex = "[" } }
     |                                              ^^^^
     = help: write a path like "$.token", "$.items[0].id" or "$..price"

s.toml:14:68: bad regular expression: unclosed character class
  14 | capture = { t = { css = "??" }, u = { json = "$$" }, v = { regex = "[" } }
     |                                                                    ^^^
     = help: '.' is any character, '\.' a dot; in TOML, 'single quotes' keep backslashes
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
status = [200, 99, 1.5, "ok", "2xx", "299-200"]
json = [{ path = "$.a", equals = 1, matches = "1" }, { path = "$.a", exists = false }, { equals = 1 }]
header = [{ name = "a", equals = "x", exists = true }]
"##,
        r##"
s.toml:6:16: 99 is not a status code
  6 | status = [200, 99, 1.5, "ok", "2xx", "299-200"]
    |                ^^
    = help: write a status code, 200, a class, "2xx", a range, "200-299", or several, [200, 302]

s.toml:6:20: 1.5 is not a status code
  6 | status = [200, 99, 1.5, "ok", "2xx", "299-200"]
    |                    ^^^
    = help: write a status code, 200, a class, "2xx", a range, "200-299", or several, [200, 302]

s.toml:6:25: "ok" is no range of status codes
  6 | status = [200, 99, 1.5, "ok", "2xx", "299-200"]
    |                         ^^^^
    = help: write a status code, 200, a class, "2xx", a range, "200-299", or several, [200, 302]

s.toml:6:38: "299-200" is no range of status codes
  6 | status = [200, 99, 1.5, "ok", "2xx", "299-200"]
    |                                      ^^^^^^^^^
    = help: write a status code, 200, a class, "2xx", a range, "200-299", or several, [200, 302]

s.toml:7:37: 'equals' and 'matches' exclude each other
  7 | json = [{ path = "$.a", equals = 1, matches = "1" }, { path = "$.a", exists = false }, { equals = 1 }]
    |                                     ^^^^^^^
    = help: keep one of the two

s.toml:7:88: missing key 'path' in [probe.p.step.expect.json]
  7 | json = [{ path = "$.a", equals = 1, matches = "1" }, { path = "$.a", exists = false }, { equals = 1 }]
    |                                                                                        ^^^^^^^^^^^^^^
    = help: add path = ...: JSONPath (RFC 9535)

s.toml:8:39: 'equals' and 'exists' exclude each other
  8 | header = [{ name = "a", equals = "x", exists = true }]
    |                                       ^^^^^^
    = help: keep one of the two
"##,
    );
}

#[test]
fn rules_for_values_say_what_they_could_be() {
    check(
        r##"
[probe.p]
service = "shop"
[[probe.p.step]]
get = "/"
[probe.p.step.expect]
json = [{ path = "$.a", type = "strnig" }, { path = "$.a", count = -1 }, { path = "$.a", less = "3" }, { path = "$.a", equals = "{{ nobody }}" }]
json_schema = { type = "objekt" }
css = [{ selector = "p", attribute = "id", count = 2 }, { selector = "p[", exists = true }]
same_as_stable = { jsn = "$.a" }
max_phases = { tsl = "1s" }
[[probe.p.step]]
get = "/"
expect = { same_as_stable = "yes", json_schema = "object" }
"##,
        r##"
s.toml:6:32: there is no choice "strnig" here
  6 | json = [{ path = "$.a", type = "strnig" }, { path = "$.a", count = -1 }, { path = "$.a", less = "3" }, { path = "$.a", equals = "{{ nobody }}" }]
    |                                ^^^^^^^^
    = help: did you mean "string"?

s.toml:6:68: -1 is out of range
  6 | json = [{ path = "$.a", type = "strnig" }, { path = "$.a", count = -1 }, { path = "$.a", less = "3" }, { path = "$.a", equals = "{{ nobody }}" }]
    |                                                                    ^^
    = help: write one from 0 to 1000000

s.toml:6:97: expected a number, found a string
  6 | json = [{ path = "$.a", type = "strnig" }, { path = "$.a", count = -1 }, { path = "$.a", less = "3" }, { path = "$.a", equals = "{{ nobody }}" }]
    |                                                                                                 ^^^
    = help: write it without quotes, like 17.5

s.toml:6:129: no step before this one captures 'nobody'
  6 | json = [{ path = "$.a", type = "strnig" }, { path = "$.a", count = -1 }, { path = "$.a", less = "3" }, { path = "$.a", equals = "{{ nobody }}" }]
    |                                                                                                                                 ^^^^^^^^^^^^^^
    = help: add it to 'capture' of a step above (captured so far: none), or use secret.NAME or random.uuid

s.toml:7:15: not a JSON Schema at /type: "objekt" is not valid under any of the schemas listed in the 'anyOf' keyword
  7 | json_schema = { type = "objekt" }
    |               ^^^^^^^^^^^^^^^^^^^
    = help: schemas are of draft 2020-12 unless "$schema" says otherwise, and whole: nothing is fetched

s.toml:8:26: what is counted are elements
  8 | css = [{ selector = "p", attribute = "id", count = 2 }, { selector = "p[", exists = true }]
    |                          ^^^^^^^^^
    = help: count elements that have it with a selector like "img[alt]"

s.toml:8:70: "p[" is not a CSS selector
  8 | css = [{ selector = "p", attribute = "id", count = 2 }, { selector = "p[", exists = true }]
    |                                                                      ^^^^
    = help: write one like "form#login", "a.next" or "input[name=token]"

s.toml:9:20: unknown key 'jsn' in [probe.p.step.expect.same_as_stable]
  9 | same_as_stable = { jsn = "$.a" }
    |                    ^^^
    = help: did you mean 'json'?

s.toml:10:16: unknown key 'tsl' in [probe.p.step.expect.max_phases]
  10 | max_phases = { tsl = "1s" }
     |                ^^^
     = help: did you mean 'tls'?

s.toml:13:29: expected true or a table, found a string
  13 | expect = { same_as_stable = "yes", json_schema = "object" }
     |                             ^^^^^
     = help: write true, or what may differ: { json = "$.time", css = ".csrf" }

s.toml:13:50: expected a JSON Schema, found a string
  13 | expect = { same_as_stable = "yes", json_schema = "object" }
     |                                                  ^^^^^^^^
     = help: write it as a table: { type = "object", required = ["id"] }
"##,
    );
}
