//! The model file: one header line (what it is, format, checksum), then the model as JSON.

use super::{Learned, Model, ModelError};
use serde::Serialize;
use xxhash_rust::xxh3::xxh3_64;

/// A single model, as it is shipped.
const MODEL: &str = "serinus-model";
/// What was learned here: models that are pooled.
const LEARNED: &str = "serinus-learned";
/// Goes up whenever a file of the old format would be read wrongly.
const FORMAT: u32 = 1;

/// What can be in a file.
pub(super) enum Content {
    Model(Model),
    Learned(Learned),
}

/// The file of a model, and its id.
pub(super) fn write_model(model: &Model) -> (Vec<u8>, String) {
    write(MODEL, model)
}

/// The file of what was learned, and its id.
pub(super) fn write_learned(learned: &Learned) -> (Vec<u8>, String) {
    write(LEARNED, learned)
}

fn write<T: Serialize>(magic: &str, content: &T) -> (Vec<u8>, String) {
    #[expect(clippy::expect_used, reason = "a struct of numbers and strings always serialises")]
    let body = serde_json::to_string(content).expect("a model is plain data");
    let checksum = xxh3_64(body.as_bytes());
    let file = format!("{magic} {FORMAT} {checksum:016x}\n{body}\n").into_bytes();
    (file, id_of(checksum))
}

/// Reads a file and checks everything that a forecast relies on.
///
/// # Errors
/// [`ModelError`]: foreign, of another format, damaged, or inconsistent in itself.
pub(super) fn read(file: &[u8]) -> Result<(Content, String), ModelError> {
    let text = std::str::from_utf8(file).map_err(|_| ModelError::Foreign)?;
    let (header, body) = text.split_once('\n').ok_or(ModelError::Foreign)?;
    let mut words = header.split(' ');
    let magic = words.next().filter(|word| [MODEL, LEARNED].contains(word));
    let magic = magic.ok_or(ModelError::Foreign)?;
    let format = words.next().and_then(|word| word.parse().ok()).ok_or(ModelError::Damaged)?;
    if format != FORMAT {
        return Err(ModelError::Format { found: format, known: FORMAT });
    }
    let expected = words.next().and_then(|word| u64::from_str_radix(word, 16).ok());
    let body = body.strip_suffix('\n').ok_or(ModelError::Damaged)?;
    let checksum = xxh3_64(body.as_bytes());
    if expected != Some(checksum) || words.next().is_some() {
        return Err(ModelError::Damaged);
    }
    let unreadable = |error: serde_json::Error| ModelError::Content(error.to_string());
    let content = if magic == MODEL {
        let model: Model = serde_json::from_str(body).map_err(unreadable)?;
        model.check()?;
        Content::Model(model)
    } else {
        let learned: Learned = serde_json::from_str(body).map_err(unreadable)?;
        learned.check()?;
        Content::Learned(learned)
    };
    Ok((content, id_of(checksum)))
}

/// Twelve hexadecimal digits of the content's hash: short enough to say, long enough not to meet twice.
fn id_of(checksum: u64) -> String {
    format!("{:012x}", checksum >> 16)
}
