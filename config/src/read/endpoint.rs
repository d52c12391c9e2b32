//! An endpoint of a pool: `"host:port"`, or `{ address = "host:port", weight = 3 }`.

use crate::net::Endpoint;
use crate::number::Whole;
use crate::reader::{At, Read, Reader, Value};
use crate::settings::EndpointSettings;
use crate::table::table;
use serde_json::{Value as Json, json};
use toml::de::DeValue;

table! {
    /// An endpoint with a weight.
    WeightedFile {
        /// "host:port" of it.
        @required address: Endpoint,
        /// How much of the traffic it gets, beside the weights of the others.
        weight: Whole<1, 1_000> = 1,
    }
}

/// An endpoint, however it is written.
#[derive(Debug)]
pub(crate) struct EndpointEntry(pub(crate) EndpointSettings);

impl Read for EndpointEntry {
    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        if matches!(value.get_ref(), DeValue::Table(_)) {
            let file = WeightedFile::read(value, reader)?;
            let (address, weight) = (file.address?.value.0, file.weight?.value.0);
            return Some(EndpointEntry(EndpointSettings { address, weight }));
        }
        let Endpoint(address) = Endpoint::read(value, reader)?;
        Some(EndpointEntry(EndpointSettings { address, weight: 1 }))
    }

    fn schema() -> Json {
        json!({ "anyOf": [<Endpoint as Read>::schema(), WeightedFile::schema()] })
    }
}

/// Reports endpoints that are there twice; their weights say it better.
pub(crate) fn check_repeated(endpoints: &[At<EndpointEntry>], reader: &mut Reader) {
    for (position, endpoint) in endpoints.iter().enumerate() {
        let address = &endpoint.value.0.address;
        if endpoints[..position].iter().any(|first| first.value.0.address == *address) {
            reader
                .warn(&endpoint.span, format!("{address} is here twice: give it a weight instead"));
        }
    }
}
