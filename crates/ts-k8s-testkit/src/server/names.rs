//! The syntax of names, labels and keys. Each function lists what is wrong, in the words of the real server.
//!
//! Source: kubernetes v1.20, `staging/src/k8s.io/apimachinery/pkg/util/validation/validation.go`.

const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and \
                     end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
                     '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must \
                         start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
                         '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const DNS_1035: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic \
                        character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for \
                        validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const QUALIFIED: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
                         alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
                         '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must \
                     start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for \
                     validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const ENV: &str = "a valid environment variable name must consist of alphabetic characters, digits, '_', '-', or '.', and must \
                   not start with a digit (e.g. 'my.env-name',  or 'MY_ENV.NAME',  or 'MyEnvName1', regex used for validation \
                   is '[-._a-zA-Z][-._a-zA-Z0-9]*')";
const KEY: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or \
                   'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";

fn too_long(most: usize) -> String {
    format!("must be no more than {most} characters")
}

fn lower(c: u8) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit()
}

fn is_label(text: &str) -> bool {
    let bytes = text.as_bytes();
    let ends = bytes.first().is_some_and(|c| lower(*c)) && bytes.last().is_some_and(|c| lower(*c));
    ends && bytes.iter().all(|c| lower(*c) || *c == b'-')
}

fn check(text: &str, most: usize, good: bool, rule: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if text.len() > most {
        wrong.push(too_long(most));
    }
    if !good {
        wrong.push(rule.to_owned());
    }
    wrong
}

/// Names of containers, volumes, namespaces.
pub(crate) fn dns_label(text: &str) -> Vec<String> {
    check(text, 63, is_label(text), LABEL)
}

/// Names of most objects.
pub(crate) fn dns_subdomain(text: &str) -> Vec<String> {
    check(text, 253, text.split('.').all(is_label), SUBDOMAIN)
}

/// Names of services.
pub(crate) fn dns_1035(text: &str) -> Vec<String> {
    let good = is_label(text) && text.starts_with(|c: char| c.is_ascii_lowercase());
    check(text, 63, good, DNS_1035)
}

fn is_name_part(text: &str) -> bool {
    let bytes = text.as_bytes();
    let ends =
        bytes.first().is_some_and(u8::is_ascii_alphanumeric) && bytes.last().is_some_and(u8::is_ascii_alphanumeric);
    ends && bytes.iter().all(|c| c.is_ascii_alphanumeric() || b"-_.".contains(c))
}

/// Keys of labels and annotations, names of resources.
pub(crate) fn label_key(text: &str) -> Vec<String> {
    let (prefix, name) = match text.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, text),
    };
    let mut wrong = Vec::new();
    match prefix {
        Some("") => wrong.push("prefix part must be non-empty".to_owned()),
        Some(prefix) => wrong.extend(
            dns_subdomain(prefix)
                .into_iter()
                .map(|why| format!("prefix part {why}")),
        ),
        None => {}
    }
    if name.is_empty() {
        wrong.push("name part must be non-empty".to_owned());
    } else if name.len() > 63 {
        wrong.push(format!("name part {}", too_long(63)));
    }
    if !is_name_part(name) {
        wrong.push(QUALIFIED.to_owned());
    }
    wrong
}

/// Values of labels.
pub(crate) fn label_value(text: &str) -> Vec<String> {
    check(text, 63, text.is_empty() || is_name_part(text), VALUE)
}

/// Names of environment variables.
pub(crate) fn env_name(text: &str) -> Vec<String> {
    let good = !text.is_empty()
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text.bytes().all(|c| c.is_ascii_alphanumeric() || b"-_.".contains(&c));
    let mut wrong = check(text, usize::MAX, good, ENV);
    wrong.extend(special(text));
    wrong
}

/// Keys of the data of config maps and secrets.
pub(crate) fn config_key(text: &str) -> Vec<String> {
    let good = !text.is_empty() && text.bytes().all(|c| c.is_ascii_alphanumeric() || b"-_.".contains(&c));
    let mut wrong = check(text, 253, good, KEY);
    wrong.extend(special(text));
    wrong
}

fn special(text: &str) -> Option<String> {
    match text {
        "." => Some("must not be '.'".to_owned()),
        ".." => Some("must not be '..'".to_owned()),
        _ if text.starts_with("..") => Some("must not start with '..'".to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    macro_rules! names {
        ($($test:ident: $rule:ident($name:expr) => $wrong:expr;)*) => { $(
            #[test]
            fn $test() {
                assert_eq!($rule($name).len(), $wrong, "{:?}", $rule($name));
            }
        )* };
    }

    names! {
        label_plain: dns_label("a-1") => 0;
        label_empty: dns_label("") => 1;
        label_upper: dns_label("A") => 1;
        label_dash_at_end: dns_label("a-") => 1;
        label_dot: dns_label("a.b") => 1;
        label_63: dns_label(&"a".repeat(63)) => 0;
        label_64: dns_label(&"a".repeat(64)) => 1;
        subdomain_dots: dns_subdomain("a.b-c.1") => 0;
        subdomain_double_dot: dns_subdomain("a..b") => 1;
        subdomain_253: dns_subdomain(&"a".repeat(253)) => 0;
        subdomain_254: dns_subdomain(&"a".repeat(254)) => 1;
        service_digit_first: dns_1035("1a") => 1;
        service_plain: dns_1035("a1") => 0;
        key_prefixed: label_key("example.com/Name_1") => 0;
        key_two_slashes: label_key("a/b/c") => 1;
        key_empty_prefix: label_key("/b") => 1;
        key_blank: label_key("a b") => 1;
        value_empty: label_value("") => 0;
        value_upper: label_value("A_b.c") => 0;
        value_dash_first: label_value("-a") => 1;
        env_plain: env_name("A_b.c") => 0;
        env_digit_first: env_name("1a") => 1;
        config_key_hidden: config_key(".dockerconfigjson") => 0;
        config_key_slash: config_key("a/b") => 1;
        config_key_parent: config_key("..") => 1;
    }
}
