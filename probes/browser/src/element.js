// Run in the page, once for each attempt: waits until what is asked for is there, or `budget` milliseconds.
async (asked) => {
  const end = performance.now() + asked.budget;
  const root = asked.frame.reduce((view, at) => view.frames[at], window).document;

  const shown = (element) => {
    const box = element.getBoundingClientRect();
    const style = element.ownerDocument.defaultView.getComputedStyle(element);
    return style.visibility !== 'hidden' && style.display !== 'none' && box.width > 0 && box.height > 0;
  };
  const all = (scope) => {
    const found = [];
    const walk = (node) => {
      for (const element of node.querySelectorAll('*')) {
        found.push(element);
        if (element.shadowRoot) walk(element.shadowRoot);
      }
    };
    walk(scope);
    return found;
  };
  const squeezed = (text) => (text || '').replace(/\s+/g, ' ').trim();
  // What a screen reader would call it, as far as a page says so plainly.
  const called = (element) => {
    const by = element.getAttribute('aria-labelledby');
    if (by) {
      return squeezed(by.split(/\s+/).map((id) => root.getElementById(id)?.textContent || '').join(' '));
    }
    const label = element.getAttribute('aria-label');
    if (label) return squeezed(label);
    if (element.labels && element.labels.length) {
      return squeezed([...element.labels].map((one) => one.textContent).join(' '));
    }
    if (element.tagName === 'INPUT') {
      const button = ['submit', 'button', 'reset'].includes(element.type);
      return squeezed(button ? element.value || element.type : element.placeholder || element.title);
    }
    if (['SELECT', 'TEXTAREA'].includes(element.tagName)) return squeezed(element.placeholder || element.title);
    if (element.alt) return squeezed(element.alt);
    return squeezed(element.textContent) || squeezed(element.title);
  };
  const innermost = (elements) => elements.filter((one) => !elements.some((other) => other !== one && one.contains(other)));
  const within = (scope, selector) => {
    if (selector.startsWith('xpath/')) {
      const path = selector.slice('xpath/'.length);
      const found = root.evaluate(path, scope, null, XPathResult.ORDERED_NODE_SNAPSHOT_TYPE, null);
      return Array.from({ length: found.snapshotLength }, (_, at) => found.snapshotItem(at));
    }
    if (selector.startsWith('pierce/')) {
      return all(scope).filter((element) => element.matches(selector.slice('pierce/'.length)));
    }
    if (selector.startsWith('text/')) {
      const text = squeezed(selector.slice('text/'.length));
      return innermost(all(scope).filter((element) => squeezed(element.textContent).includes(text)));
    }
    if (selector.startsWith('aria/')) {
      const [, name, role] = selector.match(/^aria\/(.*?)(?:\[role="([^"]+)"\])?$/s);
      const roles = { A: 'link', BUTTON: 'button', SELECT: 'combobox', TEXTAREA: 'textbox', INPUT: 'textbox' };
      return innermost(all(scope).filter((element) => {
        if (called(element) !== squeezed(name)) return false;
        return !role || (element.getAttribute('role') || roles[element.tagName]) === role;
      }));
    }
    return [...scope.querySelectorAll(selector)];
  };
  // A path of several leads through shadow roots.
  const alternatives = asked.selectors.map((one) => (Array.isArray(one) ? one : [one]));
  const find = () => {
    for (const path of alternatives) {
      try {
        let found = [root];
        for (const [at, selector] of path.entries()) {
          found = found.flatMap((scope) => within(at === 0 ? scope : scope.shadowRoot || scope, selector));
        }
        if (found.length) return found;
      } catch {
        // A selector that this browser does not understand: the next one may do.
      }
    }
    return [];
  };
  const next = () => new Promise((go) => {
    requestAnimationFrame(go);
    setTimeout(go, 50);
  });

  const holds = {
    '>=': (a, b) => a >= b,
    '<=': (a, b) => a <= b,
    '==': (a, b) => a === b,
  }[asked.operator || '>='];
  const alike = (element) => {
    if (asked.visible !== null && shown(element) !== asked.visible) return false;
    for (const [name, value] of Object.entries(asked.attributes || {})) {
      if (element.getAttribute(name) !== value) return false;
    }
    const same = (have, wanted) =>
      wanted !== null && typeof wanted === 'object'
        ? Object.entries(wanted).every(([key, value]) => same(have?.[key], value))
        : have === wanted;
    return same(element, asked.properties || {});
  };

  let last;
  for (;;) {
    const found = find();
    if (asked.action === 'wait') {
      const fitting = found.filter(alike).length;
      if (holds && holds(fitting, asked.count ?? 1)) return { done: true };
      last = `${fitting} of them`;
    } else {
      const element = found.find(shown) || (asked.action === 'submit' || asked.action === 'scroll' ? found[0] : undefined);
      if (element) {
        element.scrollIntoView({ block: 'center', inline: 'center', behavior: 'instant' });
        const before = element.getBoundingClientRect();
        await next();
        const box = element.getBoundingClientRect();
        // Still moving: it would be missed.
        if (element.isConnected && Math.abs(before.x - box.x) + Math.abs(before.y - box.y) < 1) {
          return act(element, box);
        }
      }
      last = found.length ? 'one that is not shown' : 'none';
    }
    if (performance.now() > end) return { done: false, came: last };
    await next();
  }

  function act(element, box) {
    let view = element.ownerDocument.defaultView;
    let [x, y] = [box.x + (asked.x ?? box.width / 2), box.y + (asked.y ?? box.height / 2)];
    while (view !== window && view.frameElement) {
      const frame = view.frameElement.getBoundingClientRect();
      [x, y, view] = [x + frame.x, y + frame.y, view.parent];
    }
    if (asked.action === 'place') return { done: true, x, y };
    if (asked.action === 'submit') {
      const form = element.closest('form') || element.form;
      if (!form) return { done: false, came: 'an element outside of every form' };
      setTimeout(() => form.requestSubmit());
      return { done: true };
    }
    if (asked.action === 'scroll') {
      element.scrollTo(asked.left, asked.top);
      return { done: true };
    }
    // `change`
    element.focus();
    const typed = element.isContentEditable || element.tagName === 'TEXTAREA'
      || (element.tagName === 'INPUT'
        && ['text', 'url', 'tel', 'search', 'password', 'number', 'email'].includes(element.type));
    if (typed) {
      if (element.select && element.type !== 'number' && element.type !== 'email') element.select();
      else if ('value' in element) element.value = '';
      return { done: true, typed: true };
    }
    const ends = new Event('change', { bubbles: true });
    if (element.tagName === 'SELECT' && ![...element.options].some((option) => option.value === asked.value)) {
      return { done: false, came: 'a list without that choice' };
    }
    if (['checkbox', 'radio'].includes(element.type)) element.checked = asked.value === 'true' || asked.value === 'on';
    else element.value = asked.value;
    element.dispatchEvent(new Event('input', { bubbles: true }));
    element.dispatchEvent(ends);
    return { done: true };
  }
}
