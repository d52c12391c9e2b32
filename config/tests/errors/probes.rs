//! Probes: steps, patterns, expectations, captures and templates.

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
s.toml:6:1: 'secret' means something else in templates
  6 | secret = { json = "$.a" }
    | ^^^^^^
    = help: call it 'my_secret'

s.toml:7:1: 'random' means something else in templates
  7 | random = { json = "$.a" }
    | ^^^^^^
    = help: call it 'my_random'

s.toml:8:1: "my-token" cannot be named in a template
  8 | "my-token" = { json = "$.a" }
    | ^^^^^^^^^^
    = help: a name has letters, digits and '_', and begins with a letter

s.toml:9:5: this captures nothing
  9 | a = {}
    |     ^^
    = help: write one of json, header, cookie, regex, css, status = true

s.toml:10:21: 'json' and 'css' exclude each other
  10 | b = { json = "$.a", css = "a" }
     |                     ^^^
     = help: keep one of the two

s.toml:11:7: an attribute of what?
  11 | c = { attribute = "href" }
     |       ^^^^^^^^^
     = help: add css = "...": the selector of its element

s.toml:12:16: this captures nothing
  12 | d = { status = false }
     |                ^^^^^
     = help: write status = true to keep the status code

s.toml:13:5: expected a table, found a string
  13 | e = "$.a"
     |     ^^^^^
     = help: its keys are json, header, cookie, regex, css, attribute, status
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
s.toml:4:8: no step before this one captures 'token'
  4 | post = "/{{ token }}"
    |        ^^^^^^^^^^^^^^
    = help: add it to 'capture' of a step above (captured so far: none), or use secret.NAME or random.uuid

s.toml:5:18: there is no 'random.uid'
  5 | json = { list = ["{{ random.uid }}", { deep = "{{ tokn }}" }] }
    |                  ^^^^^^^^^^^^^^^^^^
    = help: did you mean 'random.uuid'?

s.toml:5:47: no step before this one captures 'tokn'
  5 | json = { list = ["{{ random.uid }}", { deep = "{{ tokn }}" }] }
    |                                               ^^^^^^^^^^^^
    = help: add it to 'capture' of a step above (captured so far: none), or use secret.NAME or random.uuid

s.toml:6:19: which secret?
  6 | headers = { x-a = "{{ secret }}", x-b = "{{ secret.ok }}", x-c = "{{ random }}" }
    |                   ^^^^^^^^^^^^^^
    = help: write {{ secret.shop_password }}; its value comes from SERINUS_SECRET_SHOP_PASSWORD

s.toml:6:66: random what?
  6 | headers = { x-a = "{{ secret }}", x-b = "{{ secret.ok }}", x-c = "{{ random }}" }
    |                                                                  ^^^^^^^^^^^^^^
    = help: write random.uuid, random.int(1, 6), random.hex(16), random.letters(8) or random.choice("a", "b")

s.toml:9:8: no step before this one captures 'tokn'
  9 | post = "/{{ tokn }}"
    |        ^^^^^^^^^^^^^
    = help: did you mean 'token'?

s.toml:10:33: no step before this one captures 'nothing'
  10 | form = { a = "{{ token }}", b = "{{ nothing }}" }
     |                                 ^^^^^^^^^^^^^^^
     = help: add it to 'capture' of a step above (captured so far: token), or use secret.NAME or random.uuid

s.toml:11:28: no step before this one captures 'later'
  11 | expect = { body_contains = "{{ later }}" }
     |                            ^^^^^^^^^^^^^
     = help: add it to 'capture' of a step above (captured so far: token), or use secret.NAME or random.uuid

s.toml:12:63: "x" is not a JSONPath
  12 | capture = { later = { header = "x-later" }, broken = { json = "x" } }
     |                                                               ^^^
     = help: a path begins with '$': "$.x"
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
s.toml:2:11: there is no service 'shpo'
  2 | service = "shpo"
    |           ^^^^^^
    = help: did you mean 'shop'?

s.toml:3:8: "http://shop" is not a host
  3 | host = "http://shop"
    |        ^^^^^^^^^^^^^
    = help: write it as a browser would send it: "shop.example.com"

s.toml:5:1: missing key 'service' in [probe.q]
  5 | [probe.q]
    | ^^^^^^^^^
    = help: add service = ...: Name of the service that it watches
"##,
    );
}

#[test]
fn rows_side_effects_seasons_and_signatures_are_checked() {
    check(
        r##"
[probing]
concurrency = 0
sign_with = "{{ secret.key }}"
[probe.p]
service = "shop"
side_effect = "chargse"
seasons = [{ hours = "8", rate = 2 }, { days = "mon-fir", rate = 0 }]
max_body = 1
[[probe.p.step]]
get = "/{{ row.user }}"
timeout = "0s"
[probe.q]
service = "shop"
side_effect = "charges"
data = "users.csv"
[[probe.q.step]]
get = "/{{ row }}"
expect = { same_as_stable = true }
"##,
        r##"
s.toml:2:15: 0 is out of range
  2 | concurrency = 0
    |               ^
    = help: write one from 1 to 10000

s.toml:3:13: "{{ secret.key }}" cannot be the name of a secret
  3 | sign_with = "{{ secret.key }}"
    |             ^^^^^^^^^^^^^^^^^^
    = help: write the name alone: "probe_key"; its value comes from SERINUS_SECRET_PROBE_KEY

s.toml:6:15: there is no choice "chargse" here
  6 | side_effect = "chargse"
    |               ^^^^^^^^^
    = help: did you mean "charges"?

s.toml:7:22: "8" are no hours
  7 | seasons = [{ hours = "8", rate = 2 }, { days = "mon-fir", rate = 0 }]
    |                      ^^^
    = help: write from and to, UTC: "08-18", or "22-06" past midnight

s.toml:7:48: there is no choice "fir" here
  7 | seasons = [{ hours = "8", rate = 2 }, { days = "mon-fir", rate = 0 }]
    |                                                ^^^^^^^^^
    = help: did you mean "fri"?

s.toml:8:12: 1 is out of range
  8 | max_body = 1
    |            ^
    = help: write one from 1024 to 67108864

s.toml:10:7: this probe has no rows
  10 | get = "/{{ row.user }}"
     |       ^^^^^^^^^^^^^^^^^
     = help: add data = "FILE.csv" (or .json) to it

s.toml:11:11: this duration cannot be zero
  11 | timeout = "0s"
     |           ^^^^
     = help: write a longer one, like "1s"

s.toml:14:15: same_as_stable asks stable a second time where the answers differ
  14 | side_effect = "charges"
     |               ^^^^^^^^^
     = help: a journey that charges is never repeated: compare with rules instead

s.toml:17:7: which column of the row?
  17 | get = "/{{ row }}"
     |       ^^^^^^^^^^^^
     = help: write {{ row.user }}
"##,
    );
}

#[test]
fn a_journey_that_charges_is_not_compared_by_asking_again() {
    check(
        r##"
[probe.q]
service = "shop"
side_effect = "charges"
[[probe.q.step]]
get = "/"
expect = { same_as_stable = true }
"##,
        r##"
s.toml:3:15: same_as_stable asks stable a second time where the answers differ
  3 | side_effect = "charges"
    |               ^^^^^^^^^
    = help: a journey that charges is never repeated: compare with rules instead
"##,
    );
}

#[test]
fn a_browser_plays_a_recording_and_nothing_else() {
    check(
        r##"
[probing.browser]
max_memory = "1MiB"
chromuim = "/usr/bin/chromium"
[probe.p]
service = "shop"
browser = "recording.json"
interval = "5s"
max_body = 4096
[[probe.p.step]]
get = "/"
"##,
        r##"
s.toml:2:14: "1MiB" is out of range
  2 | max_memory = "1MiB"
    |              ^^^^^^
    = help: write one from 128MiB to 64GiB

s.toml:3:1: unknown key 'chromuim' in [probing.browser]
  3 | chromuim = "/usr/bin/chromium"
    | ^^^^^^^^
    = help: did you mean 'chromium'?

s.toml:7:12: a browser cannot come that often: it takes seconds of a core to begin
  7 | interval = "5s"
    |            ^^^^
    = help: write "10s" or more; "1m" is usual

s.toml:8:1: a browser knows no limit for a body
  8 | max_body = 4096
    | ^^^^^^^^
    = help: take it out: a browser reads what a page asks for, within probing.browser.max_memory

s.toml:9:11: a probe has steps or a browser, not both
  9 | [[probe.p.step]]
    |           ^^^^
    = help: keep one of them: a recording has its own steps
"##,
    );
}
