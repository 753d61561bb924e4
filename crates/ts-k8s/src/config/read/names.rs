//! What names, paths and references a cluster takes, so that a file is refused here and not by the first trial.
//!
//! Pure functions from a text to the rule that it breaks. Reading keys is in `values.rs` and its neighbors.

/// `Err` is the rule, as advice.
pub(in crate::config) type Check = fn(&str) -> Result<(), &'static str>;

/// A name of RFC 1123: of a namespace, a container, a volume.
///
/// Source: kubernetes v1.20, `staging/src/k8s.io/apimachinery/pkg/util/validation/validation.go`, `IsDNS1123Label`.
pub(in crate::config) fn dns_label(text: &str) -> Result<(), &'static str> {
    rule(
        text.len() <= 63 && is_label(text),
        "use up to 63 lowercase letters, digits and `-`, with a letter or digit at both ends",
    )
}

/// Several such names with dots between: of a service account, a secret, a claim.
///
/// Source: as above, `IsDNS1123Subdomain`.
pub(in crate::config) fn dns_subdomain(text: &str) -> Result<(), &'static str> {
    rule(
        text.len() <= 253 && text.split('.').all(is_label),
        "use up to 253 lowercase letters, digits, `-` and `.`, with a letter or digit at both ends and beside each dot",
    )
}

fn is_label(text: &str) -> bool {
    let bytes = text.as_bytes();
    let is_end = |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    is_end(bytes.first())
        && is_end(bytes.last())
        && bytes
            .iter()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-')
}

/// The key of a label: a name, perhaps after a domain and `/`.
///
/// Source: as above, `IsQualifiedName`.
pub(in crate::config) fn label_key(text: &str) -> Result<(), &'static str> {
    let (domain, name) = match text.split_once('/') {
        Some((domain, name)) => (Some(domain), name),
        None => (None, text),
    };
    rule(
        !name.is_empty() && is_label_text(name) && domain.is_none_or(|domain| dns_subdomain(domain).is_ok()),
        "a key is up to 63 letters, digits, `-`, `_` and `.` with a letter or digit at both ends, perhaps after `domain/`",
    )
}

/// The value of a label, which may be empty.
///
/// Source: as above, `IsValidLabelValue`.
pub(in crate::config) fn label_value(text: &str) -> Result<(), &'static str> {
    rule(
        is_label_text(text),
        "a value is up to 63 letters, digits, `-`, `_` and `.` with a letter or digit at both ends, or empty",
    )
}

fn is_label_text(text: &str) -> bool {
    let bytes = text.as_bytes();
    let is_end = |byte: Option<&u8>| byte.is_none_or(u8::is_ascii_alphanumeric);
    bytes.len() <= 63
        && is_end(bytes.first())
        && is_end(bytes.last())
        && bytes
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

/// The name of a queue, which goes into a label.
pub(in crate::config) fn queue(text: &str) -> Result<(), &'static str> {
    rule(
        text.len() <= 63 && dns_subdomain(text).is_ok(),
        "use up to 63 lowercase letters, digits, `-` and `.`, with a letter or digit at both ends",
    )
}

/// The name of an environment variable.
///
/// Source: as above, `IsEnvVarName`; versions since 1.30 take more, shells do not.
pub(in crate::config) fn env_name(text: &str) -> Result<(), &'static str> {
    let is_start = |c: char| c.is_ascii_alphabetic() || matches!(c, '-' | '_' | '.');
    rule(
        text.starts_with(is_start)
            && text.chars().all(|c| is_start(c) || c.is_ascii_digit())
            && text != "."
            && !text.starts_with(".."),
        "use letters, digits, `_`, `-` and `.`, and no digit first",
    )
}

/// A resource that a device plugin offers, such as `nvidia.com/gpu`.
///
/// Source: kubernetes v1.20, `pkg/apis/core/v1/helper/helpers.go`, `IsExtendedResourceName`.
pub(in crate::config) fn extended_resource(text: &str) -> Result<(), &'static str> {
    let is_native = text
        .split_once('/')
        .is_none_or(|(domain, _)| domain == "kubernetes.io" || domain.ends_with(".kubernetes.io"));
    rule(
        !is_native && !text.starts_with("requests.") && label_key(text).is_ok(),
        "name what the device plugin offers, such as `nvidia.com/gpu` or `amd.com/gpu`",
    )
}

/// The name of a task role of FrameworkController.
///
/// Source: microsoft/frameworkcontroller, `pkg/apis/frameworkcontroller/v1/crd.go`, `NamingConvention`.
pub(in crate::config) fn task_role(text: &str) -> Result<(), &'static str> {
    rule(
        (1..=63).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()),
        "FrameworkController takes 1 to 63 lowercase letters and digits",
    )
}

/// A version of an API, such as `v1` or `v1beta2`.
///
/// Source: kubernetes v1.20, `staging/src/k8s.io/apimachinery/pkg/version/helpers.go`, `kubeVersionRegex`.
pub(in crate::config) fn api_version(text: &str) -> Result<(), &'static str> {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let is_version = text.strip_prefix('v').is_some_and(|rest| {
        is_number(rest)
            || ["alpha", "beta"].iter().any(|stage| {
                rest.split_once(stage)
                    .is_some_and(|(major, minor)| is_number(major) && is_number(minor))
            })
    });
    rule(is_version, "write the version alone, such as `v1alpha1`")
}

/// An absolute path that is more than `/`.
pub(in crate::config) fn mount_path(text: &str) -> Result<(), &'static str> {
    let is_below_root = text.starts_with('/') && text.split('/').any(|part| !part.is_empty());
    rule(
        is_below_root && is_plain_path(text) && !text.contains(':'),
        "begin it with `/`, let a name follow, and use neither `..` nor `:`",
    )
}

/// An absolute path on a server.
pub(in crate::config) fn absolute_path(text: &str) -> Result<(), &'static str> {
    rule(
        text.starts_with('/') && is_plain_path(text),
        "begin it with `/`, and do not use `..`",
    )
}

/// A path below something else.
///
/// Source: kubernetes v1.20, `pkg/apis/core/validation/validation.go`, `validateLocalDescendingPath`.
pub(in crate::config) fn relative_path(text: &str) -> Result<(), &'static str> {
    rule(
        !text.starts_with('/') && is_plain_path(text),
        "name a directory in the volume, without `/` in front and without `..`",
    )
}

fn is_plain_path(text: &str) -> bool {
    !text.chars().any(char::is_control) && text.split('/').all(|part| part != "..")
}

/// The name or address of a server, without port or path.
pub(in crate::config) fn server(text: &str) -> Result<(), &'static str> {
    rule(
        !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '/'),
        "write a name or an address alone; the directory is `path`",
    )
}

/// Some letters, digits and `-`: what NNI takes for names of Azure.
///
/// Source: nni v1.9, `tools/nni_cmd/config_schema.py`, `kubeflow_config_schema`.
fn is_azure(text: &str, least: usize, most: usize) -> bool {
    (least..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// How the host names of key vaults end: the public cloud, US Government, China, Germany.
///
/// Source: azure-cli 2.60, `azure/cli/core/cloud.py`, `keyvault_dns`.
const VAULT_HOSTS: [&str; 4] = [
    "vault.azure.net",
    "vault.usgovcloudapi.net",
    "vault.azure.cn",
    "vault.microsoftazure.de",
];

/// The name of a vault, or its host name. NNI's schema lets anything pass and hands it to `az`, which takes names alone.
///
/// Source: Microsoft Learn, "Naming rules and restrictions for Azure resources", `Microsoft.KeyVault/vaults`.
pub(in crate::config) fn azure_vault(text: &str) -> Result<(), &'static str> {
    let (name, host) = match text.split_once('.') {
        Some((name, host)) => (name, Some(host)),
        None => (text, None),
    };
    rule(
        host.is_none_or(|host| VAULT_HOSTS.iter().any(|known| known.eq_ignore_ascii_case(host))),
        "write the vault's name alone, or its host name without `https://`, such as `my-vault.vault.azure.net`",
    )?;
    rule(
        is_azure(name, 3, 24)
            && name.starts_with(|c: char| c.is_ascii_alphabetic())
            && !name.ends_with('-')
            && !name.contains("--"),
        "a vault's name has 3 to 24 letters, digits and `-`: a letter first, a letter or digit last, and no two `-` in a row",
    )
}

/// The name of a secret in a vault.
pub(in crate::config) fn azure_secret(text: &str) -> Result<(), &'static str> {
    rule(is_azure(text, 1, 127), "use 1 to 127 letters, digits and `-`")
}

/// The name of a storage account.
pub(in crate::config) fn azure_account(text: &str) -> Result<(), &'static str> {
    rule(is_azure(text, 3, 31), "use 3 to 31 letters, digits and `-`")
}

/// The name of a share.
pub(in crate::config) fn azure_share(text: &str) -> Result<(), &'static str> {
    rule(is_azure(text, 3, 63), "use 3 to 63 letters, digits and `-`")
}

/// A reference to a container image: `[host[:port]/]path[:tag][@digest]`.
///
/// Source: distribution/reference v0.6, `regexp.go` and `reference.go`.
pub(in crate::config) fn image(text: &str) -> Result<(), &'static str> {
    const FORM: &str = "write `name:tag`, perhaps after `registry/`, such as `registry.example.org/team/train:1.2`";
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (text, None),
    };
    rule(
        digest.is_none_or(is_digest),
        "a digest is `sha256:` and 64 hexadecimal digits",
    )?;
    let last = rest.rfind('/').map_or(0, |at| at + 1);
    let (name, tag) = match rest[last..].split_once(':') {
        Some((name, tag)) => (&rest[..last + name.len()], Some(tag)),
        None => (rest, None),
    };
    rule(
        tag.is_none_or(is_tag),
        "a tag is up to 128 letters, digits, `_`, `.` and `-`, and begins with neither `.` nor `-`",
    )?;
    let (host, path) = match name.split_once('/') {
        Some((host, path)) if is_host(host) => (Some(host), path),
        _ => (None, name),
    };
    rule(host.is_none_or(is_good_host), FORM)?;
    rule(
        !path.bytes().any(|b| b.is_ascii_uppercase()),
        "names of images are in lowercase letters",
    )?;
    rule(name.len() <= 255 && path.split('/').all(is_component), FORM)
}

/// Whether the part before the first `/` names a registry.
fn is_host(text: &str) -> bool {
    text == "localhost" || text.contains(['.', ':']) || text.bytes().any(|b| b.is_ascii_uppercase())
}

fn is_good_host(text: &str) -> bool {
    if text.starts_with('[') {
        return text.contains(']') && text.bytes().all(|b| b.is_ascii_hexdigit() || b"[]:".contains(&b));
    }
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    port.is_none_or(|port| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()))
        && host.split('.').all(|part| {
            !part.is_empty()
                && !part.starts_with('-')
                && !part.ends_with('-')
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        })
}

/// Lowercase letters and digits, with `.`, `_`, `__` or any number of `-` between them.
fn is_component(text: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    bytes.first().is_some_and(|b| is_word(*b))
        && bytes.last().is_some_and(|b| is_word(*b))
        && text
            .split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            .all(|between| matches!(between, "" | "." | "_" | "__") || between.bytes().all(|b| b == b'-'))
}

fn is_tag(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && !text.starts_with(['.', '-'])
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}

fn is_digest(text: &str) -> bool {
    let is_algorithm = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.bytes().all(|b| b.is_ascii_alphanumeric())
    };
    text.split_once(':').is_some_and(|(algorithm, hex)| {
        is_algorithm(algorithm)
            && hex.bytes().all(|b| b.is_ascii_hexdigit())
            && match algorithm {
                "sha256" => hex.len() == 64,
                "sha512" => hex.len() == 128,
                _ => hex.len() >= 32,
            }
    })
}

fn rule(is_kept: bool, rule: &'static str) -> Result<(), &'static str> {
    if is_kept { Ok(()) } else { Err(rule) }
}

#[cfg(test)]
#[path = "names_tests.rs"]
mod tests;
