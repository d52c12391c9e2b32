//! What an HTTP/1 client sends, byte by byte, before anything else reads it.
//!
//! Two servers that read the same bytes differently can be played against each other. So the
//! header and the framing of the body are read here by the letter of RFC 9112, without any of
//! the leniences that it allows, and what does not fit goes no further. The HTTP library behind
//! gets exactly the bytes of one request at a time.

mod chunked;
mod frames;
mod gate;
mod head;

pub(crate) use gate::{Gate, H2_PREFACE, Intake};
pub(crate) use head::{HeadBounds, is_authority};
