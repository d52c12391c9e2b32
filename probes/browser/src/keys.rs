//! Keys of a keyboard, by the names that recordings give them.

use chromiumoxide::cdp::browser_protocol::input::{DispatchKeyEventParams, DispatchKeyEventType};
use chromiumoxide::keys::get_key_definition;

/// Modifier keys, with their bit in the protocol.
const MODIFIERS: [(&str, i64); 4] = [("Alt", 1), ("Control", 2), ("Meta", 4), ("Shift", 8)];

/// The keys that are held.
#[derive(Debug, Default)]
pub(crate) struct Keyboard {
    modifiers: i64,
}

impl Keyboard {
    /// A key goes down, or up again.
    ///
    /// # Errors
    /// In words, if there is no such key.
    pub(crate) fn event(
        &mut self,
        key: &str,
        down: bool,
    ) -> Result<DispatchKeyEventParams, String> {
        let definition =
            get_key_definition(key).ok_or_else(|| format!("there is no key `{key}`"))?;
        if let Some((_, bit)) = MODIFIERS.iter().find(|(name, _)| *name == definition.key) {
            self.modifiers = if down { self.modifiers | bit } else { self.modifiers & !bit };
        }
        let single = (definition.key.chars().count() == 1).then_some(definition.key);
        let writes = self.modifiers & !8 == 0;
        let text = definition.text.or(single).filter(|_| down && writes);
        let kind = match (down, text) {
            (false, _) => DispatchKeyEventType::KeyUp,
            (true, Some(_)) => DispatchKeyEventType::KeyDown,
            (true, None) => DispatchKeyEventType::RawKeyDown,
        };
        let mut event = DispatchKeyEventParams::builder()
            .r#type(kind)
            .modifiers(self.modifiers)
            .key(definition.key)
            .code(definition.code)
            .windows_virtual_key_code(definition.key_code)
            .native_virtual_key_code(definition.key_code);
        if let Some(text) = text {
            event = event.text(text).unmodified_text(text);
        }
        event.build()
    }
}
