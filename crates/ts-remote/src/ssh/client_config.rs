//! OpenSSH's client configuration: what `ssh HOST` would use. Reading only; what it means is `target`'s.
//!
//! Source: ssh_config(5) of OpenSSH 9.2. The first value of a key wins; `IdentityFile` adds up. Of the criteria of `Match`,
//! `all`, `host`, `originalhost`, `user`, `localuser` and `final` are understood; a section with another one (`exec`, …) is
//! passed over.

use super::patterns::{self, expand};
use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
};

/// Deepest nesting of `Include`, as OpenSSH's.
const DEPTH: u32 = 16;

/// The keys that apply to one host, by lower-case name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct HostSettings {
    values: HashMap<String, Vec<String>>,
}

impl HostSettings {
    /// The value of a key, if it is set.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.values.get(key)?.first().map(String::as_str)
    }

    /// The values of a key that takes several, or adds up.
    pub(crate) fn all(&self, key: &str) -> &[String] {
        self.values.get(key).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn is_yes(&self, key: &str) -> bool {
        self.get(key).is_some_and(|value| value.eq_ignore_ascii_case("yes"))
    }

    /// Where `host` leads: `HostName`, in which `%h` stands for the name that was asked for.
    pub(crate) fn host_name(&self, host: &str) -> String {
        let expand = |name: &str| {
            let parts = name.split("%%").map(|part| part.replace("%h", host));
            parts.collect::<Vec<_>>().join("%")
        };
        self.get("hostname").map_or_else(|| host.to_owned(), expand)
    }

    /// Takes over what a line says, unless an earlier one has said it.
    fn add(&mut self, key: String, arguments: Vec<String>) {
        let adds_up = matches!(key.as_str(), "identityfile" | "certificatefile");
        // Of the two ways to say how the host is reached, the first counts; only `ProxyJump none` leaves the other open.
        let is_open = match key.as_str() {
            "proxycommand" => self
                .get("proxyjump")
                .is_none_or(|jump| jump.eq_ignore_ascii_case("none")),
            "proxyjump" => self.get("proxycommand").is_none(),
            _ => true,
        };
        if !is_open {
            return;
        }
        let values = self.values.entry(key).or_default();
        if adds_up {
            let new = arguments.into_iter().next().filter(|value| !values.contains(value));
            values.extend(new);
        } else if values.is_empty() {
            *values = arguments;
        }
    }
}

/// A file to read.
#[derive(Debug, Clone)]
pub(crate) struct ConfigFile {
    pub(crate) path: PathBuf,
    /// Where relative names of `Include` count from: `~/.ssh` or `/etc/ssh`, wherever the file itself is.
    pub(crate) include_base: PathBuf,
}

/// Whom the configuration is asked about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Query<'a> {
    /// The name as the user wrote it.
    pub(crate) host: &'a str,
    /// The login name that the user asked for.
    pub(crate) user: Option<&'a str>,
    pub(crate) local_user: Option<&'a str>,
    pub(crate) home: Option<&'a Path>,
}

/// Reads what the files say about a host; the first file counts most, absent ones are empty.
pub(crate) fn read(files: &[ConfigFile], query: Query<'_>) -> io::Result<HostSettings> {
    let mut reader = Reader {
        query,
        settings: HostSettings::default(),
        is_final: false,
        wants_final: false,
    };
    for file in files {
        reader.file(&file.path, &file.include_base, DEPTH)?;
    }
    if reader.wants_final {
        // As OpenSSH does for `Match final`: what is still open is filled in by a second reading, under the name found.
        reader.is_final = true;
        for file in files {
            reader.file(&file.path, &file.include_base, DEPTH)?;
        }
    }
    Ok(reader.settings)
}

struct Reader<'a> {
    query: Query<'a>,
    settings: HostSettings,
    is_final: bool,
    wants_final: bool,
}

impl Reader<'_> {
    fn file(&mut self, file: &Path, include_base: &Path, depth: u32) -> io::Result<()> {
        // Comments may be in any encoding.
        let text = match fs::read(file) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            // Patterns of `Include` name folders as well.
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::IsADirectory) => return Ok(()),
            Err(e) => {
                return Err(io::Error::new(
                    e.kind(),
                    format!("cannot read `{}`: {e}", file.display()),
                ));
            }
        };
        let mut applies = true;
        for line in text.lines() {
            let Some((key, rest)) = split(line) else { continue };
            let arguments = words(rest);
            match key.as_str() {
                "host" => applies = self.is_about(&arguments),
                "match" => applies = self.meets(&arguments),
                _ if !applies => {}
                "include" if depth > 0 => {
                    for pattern in &arguments {
                        for found in expand(&self.place(pattern, include_base)) {
                            self.file(&found, include_base, depth - 1)?;
                        }
                    }
                }
                // Commands and chains are the rest of the line as it stands.
                "proxycommand" | "proxyjump" => self.settings.add(key, vec![rest.to_owned()]),
                _ => self.settings.add(key, arguments),
            }
        }
        Ok(())
    }

    fn place(&self, pattern: &str, include_base: &Path) -> PathBuf {
        match (pattern.strip_prefix("~/"), self.query.home) {
            (Some(rest), Some(home)) => home.join(rest),
            _ => include_base.join(pattern),
        }
    }

    /// Whether the patterns of `Host` are about our host.
    fn is_about(&self, list: &[String]) -> bool {
        let list = list.iter().map(String::as_str);
        if self.is_final {
            patterns::matches_list(list, &self.settings.host_name(self.query.host))
        } else {
            patterns::matches_list(list, self.query.host)
        }
    }

    /// Whether all criteria of a `Match` hold.
    fn meets(&mut self, arguments: &[String]) -> bool {
        let query = self.query;
        let mut arguments = arguments.iter();
        while let Some(criterion) = arguments.next() {
            let (negated, criterion) = match criterion.strip_prefix('!') {
                Some(criterion) => (true, criterion),
                None => (false, criterion.as_str()),
            };
            // Both `host NAME` and `host=NAME` are written.
            let (name, joined) = match criterion.split_once('=') {
                Some((name, list)) => (name, Some(list)),
                None => (criterion, None),
            };
            let name = name.to_ascii_lowercase();
            let holds = match name.as_str() {
                "all" => true,
                "final" | "canonical" => {
                    self.wants_final |= name == "final";
                    self.is_final
                }
                _ => {
                    let Some(list) = joined.or_else(|| arguments.next().map(String::as_str)) else {
                        return false;
                    };
                    let user = query.user.or(self.settings.get("user")).or(query.local_user);
                    let matches = |list: &str, value: &str| patterns::matches_list(list.split(','), value);
                    match name.as_str() {
                        "host" => matches(&list.to_lowercase(), &self.settings.host_name(query.host)),
                        "originalhost" => matches(&list.to_lowercase(), query.host),
                        "user" => user.is_some_and(|user| matches(list, user)),
                        "localuser" => query.local_user.is_some_and(|user| matches(list, user)),
                        other => {
                            tracing::info!(
                                criterion = other,
                                "a `Match` section of the SSH configuration is passed over: this criterion is not understood"
                            );
                            return false;
                        }
                    }
                }
            };
            if holds == negated {
                return false;
            }
        }
        true
    }
}

/// A time such as `90` or `1m30s`, in seconds.
///
/// Source: sshd_config(5) of OpenSSH 9.2, TIME FORMATS.
pub(crate) fn seconds(text: &str) -> Option<u64> {
    let (mut sum, mut digits) = (0_u64, String::new());
    for c in text.chars().chain(['s']) {
        let unit = match c.to_ascii_lowercase() {
            '0'..='9' => {
                digits.push(c);
                continue;
            }
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86400,
            'w' => 604_800,
            _ => return None,
        };
        if !digits.is_empty() {
            sum = sum.checked_add(digits.parse::<u64>().ok()?.checked_mul(unit)?)?;
            digits.clear();
        }
    }
    Some(sum)
}

/// Key in lower case and what follows it; `None` for comments and blank lines.
fn split(line: &str) -> Option<(String, &str)> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let end = line.find(|c: char| c.is_whitespace() || c == '=')?;
    let rest = line[end..].trim_start();
    Some((
        line[..end].to_ascii_lowercase(),
        rest.strip_prefix('=').unwrap_or(rest).trim(),
    ))
}

/// The words of a line: quotes of both kinds and a backslash before a quote, a space or itself are understood.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, quote) {
            ('\\', _)
                if chars
                    .peek()
                    .is_some_and(|c| matches!(c, '"' | '\'' | '\\') || *c == ' ' && quote.is_none()) =>
            {
                word.get_or_insert_default().extend(chars.next());
            }
            (c, Some(open)) if c == open => quote = None,
            ('"' | '\'', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (c, None) if c.is_whitespace() => words.extend(word.take()),
            ('#', None) if word.is_none() => break,
            (c, _) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
#[path = "client_config_tests.rs"]
mod tests;
