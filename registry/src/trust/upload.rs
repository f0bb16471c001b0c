//! The form that metadata is published in.

use bytes::Bytes;
use hallmark_oci::TrustRole;
use hallmark_signer::notary::publish::Upload;

/// The most files of one publish: the four roles, and delegations.
const FILES: usize = 256;

/// Why a form is not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum UploadInvalid {
    /// Not a multipart form, or one that is cut off.
    #[error("the upload is not a well-formed multipart form")]
    Form(#[source] Option<multer::Error>),
    /// A part without a file name.
    #[error("each part of the upload needs a file name: the role")]
    NoFilename,
    /// A part whose file name is no role.
    #[error("{0:?} is not the name of a role")]
    Role(String),
    /// A role twice: which of them is meant?
    #[error("{0} is uploaded twice")]
    Twice(TrustRole),
    /// More files than are taken at once.
    #[error("one upload has at most {FILES} files")]
    TooMany,
}

/// Reads a form: one part a role, named by its file name. That name holds slashes, which are part of it.
pub(super) async fn read(content_type: Option<&str>, body: Bytes) -> Result<Vec<Upload>, UploadInvalid> {
    let boundary = content_type.and_then(|kind| multer::parse_boundary(kind).ok()).ok_or(UploadInvalid::Form(None))?;
    let whole = futures_util::stream::once(std::future::ready(Ok::<_, std::convert::Infallible>(body)));
    let mut form = multer::Multipart::new(whole, boundary);
    let mut files: Vec<Upload> = Vec::new();
    while let Some(part) = form.next_field().await.map_err(|error| UploadInvalid::Form(Some(error)))? {
        let name = part.file_name().filter(|name| !name.is_empty()).ok_or(UploadInvalid::NoFilename)?;
        let name = name.strip_suffix(".json").unwrap_or(name);
        let role: TrustRole = name.parse().map_err(|_| UploadInvalid::Role(name.chars().take(255).collect()))?;
        if files.iter().any(|file| file.role == role) {
            return Err(UploadInvalid::Twice(role));
        }
        if files.len() == FILES {
            return Err(UploadInvalid::TooMany);
        }
        let bytes = part.bytes().await.map_err(|error| UploadInvalid::Form(Some(error)))?;
        files.push(Upload { role, bytes: bytes.to_vec() });
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn files(name: &str) -> Result<Vec<Upload>, UploadInvalid> {
        let body = format!(
            "--x\r\nContent-Disposition: form-data; name=\"files\"; filename=\"{name}\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n{{}}\r\n--x--\r\n"
        );
        read(Some("multipart/form-data; boundary=x"), body.into()).await
    }

    #[tokio::test]
    async fn a_file_name_is_a_whole_role_with_its_slashes() {
        let read = files("targets/releases").await.unwrap();
        assert_eq!(read[0].role.as_str(), "targets/releases");
        assert_eq!(read[0].bytes, b"{}");
        assert_eq!(files("root.json").await.unwrap()[0].role.as_str(), "root");
    }

    #[tokio::test]
    async fn what_is_no_role_is_refused_by_name() {
        for name in ["../root", "targets/../root", "Root", "targets/", "targets/A", "releases"] {
            assert!(matches!(files(name).await, Err(UploadInvalid::Role(_))), "{name}");
        }
        assert!(matches!(files("").await, Err(UploadInvalid::NoFilename)));
    }

    #[tokio::test]
    async fn a_form_that_is_none_or_cut_off_is_refused() {
        assert!(matches!(read(Some("application/json"), Bytes::new()).await, Err(UploadInvalid::Form(None))));
        assert!(matches!(read(None, Bytes::new()).await, Err(UploadInvalid::Form(None))));
        let cut = "--x\r\nContent-Disposition: form-data; name=\"files\"; filename=\"root\"\r\n\r\n{";
        let read = read(Some("multipart/form-data; boundary=x"), cut.into()).await;
        assert!(matches!(read, Err(UploadInvalid::Form(Some(_)))));
    }
}
