//! How the tables of the file are declared.

/// A key as it stands in the file: `type` is a word of Rust's own and is declared as `r#type`.
pub(crate) fn written(key: &'static str) -> &'static str {
    key.trim_start_matches("r#")
}

/// Declares a table of the file: its keys with their types, defaults (`= ...`) and whether they
/// are `@required`. What it accepts, its schema and its help all come from this one text.
///
/// A key that is missing or wrong is `None`; which of the two, `present` tells.
macro_rules! table {
    (
        $(#[doc = $about:literal])+
        $name:ident {
            $( $(#[doc = $doc:literal])+ $(@$must:ident)? $key:ident: $type:ty $(= $default:tt)?, )+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Debug)]
        pub(crate) struct $name {
            /// The keys that are there, right or wrong.
            #[allow(dead_code, reason = "not every table has a check that needs it")]
            pub(crate) present: Vec<&'static str>,
            $( $(#[doc = $doc])+ pub(crate) $key: Option<$crate::reader::At<$type>>, )+
        }

        impl $name {
            fn keys() -> Vec<$crate::reader::Key> {
                vec![$( $crate::reader::Key {
                    name: $crate::table::written(stringify!($key)),
                    about: concat!($($doc),+),
                    required: $crate::table::table!(@required $($must)?),
                    default: $crate::table::table!(@default $($default)?),
                } ),+]
            }
        }

        impl $crate::reader::Read for $name {
            fn read(
                value: &$crate::reader::Value<'_>,
                reader: &mut $crate::reader::Reader,
            ) -> Option<Self> {
                let section = reader.table(value, &[$($crate::table::written(stringify!($key))),+])?;
                let mut keys = Self::keys().into_iter();
                Some($name {
                    present: [$($crate::table::written(stringify!($key))),+]
                        .into_iter()
                        .filter(|key| section.table.contains_key(*key))
                        .collect(),
                    $( $key: reader.key(&section, &keys.next()?), )+
                })
            }

            fn schema() -> serde_json::Value {
                let types = vec![$( <$type as $crate::reader::Read>::schema() ),+];
                $crate::schema::of_table(concat!($($about),+), Self::keys(), types)
            }
        }
    };
    (@required) => { false };
    (@required required) => { true };
    (@default) => { None };
    (@default $default:tt) => { Some(serde_json::json!($default)) };
}
pub(crate) use table;
