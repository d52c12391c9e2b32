use crate::{check, naming};
use serinus_probes::import::{Source, import};

pub(crate) const LOGIN: &str = r##"{
  "title": "Log in and look at the cart",
  "timeout": 5000,
  "steps": [
    { "type": "setViewport", "width": 1280, "height": 800, "deviceScaleFactor": 1, "isMobile": false },
    { "type": "navigate", "url": "https://shop.example/login?next=%2F", "assertedEvents": [
      { "type": "navigation", "url": "https://shop.example/login", "title": "Log in" } ] },
    { "type": "click", "target": "main", "selectors": [["aria/User"], ["input[name='user']"]], "offsetX": 4.5, "offsetY": 9 },
    { "type": "change", "value": "ann", "selectors": [["aria/User"], ["input[name='user']"], ["xpath///input"]], "target": "main" },
    { "type": "change", "value": "hunter2", "selectors": ["#password"], "target": "main" },
    { "type": "keyDown", "target": "main", "key": "Enter" },
    { "type": "keyUp", "target": "main", "key": "Enter" },
    { "type": "waitForElement", "selectors": [["ul.cart > li"]], "count": 2 },
    { "type": "click", "selectors": [["text/Cart"], ["nav a.cart"]] },
    { "type": "click", "selectors": [["div.banner"]] },
    { "type": "waitForExpression", "expression": "window.ready" },
    { "type": "drag", "selectors": [["#a"]] },
    { "type": "close" }
  ]
}"##;

#[test]
fn pages_forms_and_links_come_over_and_the_rest_is_named() {
    check(
        Source::Recorder,
        LOGIN,
        r##"
[probe.journey]
service = "shop"
host = "shop.example"

[[probe.journey.step]]
get = "/login?next=%2F"

[[probe.journey.step]]
submit = { form = 'form:has([name="user"])', fields = { user = "ann", password = "{{ secret.password }}" } }
expect = { css = [{ selector = "ul.cart > li", count = 2 }] }

[[probe.journey.step]]
click = "nav a.cart"
"##,
        &[
            "left out: step 3 clicks `input[name='user']`, which is neither a link nor sends a form",
            "guessed: the field at `#password` is named `password`; compare with the form's HTML",
            "to do: set SERINUS_SECRET_PASSWORD; the recorded one was left out",
            "left out: step 10 clicks `div.banner`, which is neither a link nor sends a form",
            "left out: step 11 `waitForExpression` needs a browser",
            "left out: step 12 `drag`, unknown",
        ],
    );
}

#[test]
fn what_is_no_recording_says_where_and_why() {
    let said = |text| import(Source::Recorder, text, &naming()).unwrap_err().to_string();
    assert_eq!(
        said("{\"steps\": [\n{\"selectors\": []}]}"),
        "line 2, column 17: not the JSON of such a file: missing field `type`"
    );
    assert_eq!(said("{\"steps\": []}"), "no page is opened in it");
}
