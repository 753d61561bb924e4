//! Names of images, and what pulling them says. No image is ever fetched: every one that is not missing is there.
//!
//! Observed on a kubelet v1.20.2 with containerd 1.6, and source: kubernetes v1.20, `pkg/kubelet/images/image_manager.go`.

/// Why a container has no image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    /// The reason in the state of the container.
    pub(super) reason: &'static str,
    /// The message there.
    pub(super) message: String,
}

/// Checks the name.
///
/// Source: kubernetes v1.20, `pkg/util/parsers/parsers.go`; docker/distribution v2.7, `reference/reference.go` and `regexp.go`.
pub(super) fn check(image: &str) -> Result<(), Problem> {
    let name = image.split_once('@').map_or(image, |(name, _)| name);
    let (repository, tag) = match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag)),
        _ => (name, None),
    };
    let tag_fits = tag.is_none_or(|tag| {
        !tag.is_empty() && tag.len() <= 128 && !tag.starts_with(['.', '-']) && tag.bytes().all(word_or(b"._-"))
    });
    let mut components = repository.split('/').peekable();
    // The first component is a host if it could be one; hosts may have capital letters.
    let host =
        components.next_if(|first| repository.contains('/') && (first.contains(['.', ':']) || *first == "localhost"));
    let host_fits = host.is_none_or(|host| host.bytes().all(word_or(b".:-")));
    let path: Vec<&str> = components.collect();
    let path_fits = !path.is_empty()
        && path.iter().all(|component| {
            !component.is_empty()
                && !component.starts_with(['.', '_', '-'])
                && !component.ends_with(['.', '_', '-'])
                && component
                    .bytes()
                    .all(|byte| word_or(b"._-")(byte) && !byte.is_ascii_uppercase())
        });
    if tag_fits && host_fits && path_fits {
        return Ok(());
    }
    let lower = path
        .iter()
        .any(|component| component.bytes().any(|byte| byte.is_ascii_uppercase()));
    let why = if lower && tag_fits && host_fits {
        "invalid reference format: repository name must be lowercase"
    } else {
        "invalid reference format"
    };
    Err(Problem {
        reason: "InvalidImageName",
        message: format!(
            "Failed to apply default image tag {image:?}: couldn't parse image reference {image:?}: {why}"
        ),
    })
}

fn word_or(others: &'static [u8]) -> impl Fn(u8) -> bool {
    move |byte| byte.is_ascii_alphanumeric() || others.contains(&byte)
}

/// What the runtime says when the registry has no such image.
pub(super) fn not_found(image: &str) -> Problem {
    let full = full_name(image);
    Problem {
        reason: "ErrImagePull",
        message: format!(
            "rpc error: code = NotFound desc = failed to pull and unpack image \"{full}\": failed to resolve reference \
             \"{full}\": {full}: not found"
        ),
    }
}

/// What the kubelet says while it waits for the next try.
pub(super) fn back_off(image: &str) -> Problem {
    Problem {
        reason: "ImagePullBackOff",
        message: format!("Back-off pulling image \"{image}\""),
    }
}

/// What the kubelet says where it must not pull.
pub(super) fn never_pulled(image: &str) -> Problem {
    Problem {
        reason: "ErrImageNeverPull",
        message: format!("Container image \"{image}\" is not present with pull policy of Never"),
    }
}

/// The name with registry and tag.
pub(super) fn full_name(image: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or(image);
    let tagged = if last.contains([':', '@']) {
        image.to_owned()
    } else {
        format!("{image}:latest")
    };
    match image.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => tagged,
        Some(_) => format!("docker.io/{tagged}"),
        None => format!("docker.io/library/{tagged}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{check, full_name};

    #[test]
    fn names() {
        for good in [
            "a",
            "a/b:1",
            "local/busybox:1",
            "x.y:5000/a/b@sha256:00",
            "Host.example/a",
            "a:V1.0_x-y",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for (bad, why) in [
            ("UPPER/x:1", "must be lowercase"),
            ("", "invalid reference format"),
            ("a:", "invalid reference format"),
            ("a b", "invalid reference format"),
            ("a//b", "invalid reference format"),
            ("-a", "invalid reference format"),
        ] {
            let problem = check(bad).expect_err(bad);
            assert!(problem.message.ends_with(why), "{problem:?}");
        }
    }

    #[test]
    fn full_names() {
        assert_eq!(full_name("a"), "docker.io/library/a:latest");
        assert_eq!(full_name("l/a:1"), "docker.io/l/a:1");
        assert_eq!(full_name("x.y:5000/a"), "x.y:5000/a:latest");
    }
}
