//! What steps keep of answers, and templates that use it.

use crate::check;

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
