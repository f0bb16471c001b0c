//! How single values are written: bytes as base64, texts with a grammar by it.

/// Bytes as base64.
pub(crate) mod base64_bytes {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<T: AsRef<[u8]>, S: Serializer>(bytes: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(crate) fn deserialize<'de, T: TryFrom<Vec<u8>>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = STANDARD.decode(text).map_err(|_| D::Error::custom("not base64"))?;
        T::try_from(bytes).map_err(|_| D::Error::custom("of another length"))
    }
}

/// Bytes as base64 where there may be none.
pub(crate) mod maybe_bytes {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    struct Sent(#[serde(with = "super::base64_bytes")] Vec<u8>);

    pub(crate) fn serialize<S: Serializer>(bytes: &Option<Vec<u8>>, serializer: S) -> Result<S::Ok, S::Error> {
        bytes.clone().map(Sent).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<u8>>, D::Error> {
        Ok(Option::<Sent>::deserialize(deserializer)?.map(|Sent(bytes)| bytes))
    }
}

/// A role of the server's, by its name.
pub(crate) mod role {
    use hallmark_oci::ServerRole;
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(role: &ServerRole, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(role.as_str())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ServerRole, D::Error> {
        let text = String::deserialize(deserializer)?;
        let roles = [ServerRole::Snapshot, ServerRole::Timestamp];
        roles
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| D::Error::custom("not a role of the server's"))
    }
}

/// A value that is a text with a grammar.
pub(crate) mod grammar {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(crate) fn deserialize<'de, T: FromStr<Err: Display>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<T, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// What is known of a file, with its bytes.
pub(crate) mod file {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::notary::FileState;

    #[derive(Serialize, Deserialize)]
    pub(super) struct Sent(FileState, #[serde(with = "super::base64_bytes")] Vec<u8>);

    impl From<(FileState, Vec<u8>)> for Sent {
        fn from((state, bytes): (FileState, Vec<u8>)) -> Self {
            Self(state, bytes)
        }
    }

    impl From<Sent> for (FileState, Vec<u8>) {
        fn from(Sent(state, bytes): Sent) -> Self {
            (state, bytes)
        }
    }

    pub(crate) fn serialize<S: Serializer>(file: &(FileState, Vec<u8>), serializer: S) -> Result<S::Ok, S::Error> {
        Sent::from(file.clone()).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<(FileState, Vec<u8>), D::Error> {
        Sent::deserialize(deserializer).map(Into::into)
    }
}

/// The same where there may be none.
pub(crate) mod maybe_file {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::file::Sent;
    use crate::notary::FileState;

    type File = Option<(FileState, Vec<u8>)>;

    pub(crate) fn serialize<S: Serializer>(file: &File, serializer: S) -> Result<S::Ok, S::Error> {
        file.clone().map(Sent::from).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<File, D::Error> {
        Ok(Option::<Sent>::deserialize(deserializer)?.map(Into::into))
    }
}

/// Files, each with its role.
pub(crate) mod tuf_files {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    type File = (String, Vec<u8>);

    #[derive(Serialize, Deserialize)]
    struct Sent(String, #[serde(with = "super::base64_bytes")] Vec<u8>);

    pub(crate) fn serialize<S: Serializer>(files: &[File], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(files.iter().map(|(role, bytes)| Sent(role.clone(), bytes.clone())))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<File>, D::Error> {
        let files = Vec::<Sent>::deserialize(deserializer)?;
        Ok(files.into_iter().map(|Sent(role, bytes)| (role, bytes)).collect())
    }
}

/// The same as a map.
pub(crate) mod named_bytes {
    use std::collections::BTreeMap;

    use serde::{Deserializer, Serializer};

    type Named = BTreeMap<String, Vec<u8>>;

    pub(crate) fn serialize<S: Serializer>(files: &Named, serializer: S) -> Result<S::Ok, S::Error> {
        let files: Vec<(String, Vec<u8>)> = files.clone().into_iter().collect();
        super::tuf_files::serialize(&files, serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Named, D::Error> {
        Ok(super::tuf_files::deserialize(deserializer)?.into_iter().collect())
    }
}
