//! OpenSSH's client configuration: what `ssh HOST` would use. Reading only; what it means is `target`'s.
//!
//! Source: ssh_config(5) of OpenSSH 9.2. The first value of a key wins; `IdentityFile` adds up. Of the criteria of `Match`,
//! `all`, `host`, `originalhost` and `user` are understood; a section with another one (`exec`, `final`, …) is passed over.

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

    /// The values of a key that adds up.
    pub(crate) fn all(&self, key: &str) -> &[String] {
        self.values.get(key).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn is_yes(&self, key: &str) -> bool {
        self.get(key).is_some_and(|value| value.eq_ignore_ascii_case("yes"))
    }
}

/// Whom the configuration is asked about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Query<'a> {
    /// The name as the user wrote it.
    pub(crate) host: &'a str,
    /// The login name that the user asked for.
    pub(crate) user: Option<&'a str>,
    pub(crate) home: Option<&'a Path>,
}

/// Reads what the files say about a host; the first file counts most, absent ones are empty.
pub(crate) fn read(files: &[PathBuf], query: Query<'_>) -> io::Result<HostSettings> {
    let mut settings = HostSettings::default();
    for file in files {
        include(file, query, &mut settings, DEPTH)?;
    }
    Ok(settings)
}

fn include(file: &Path, query: Query<'_>, settings: &mut HostSettings, depth: u32) -> io::Result<()> {
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => {
            return Err(io::Error::new(
                e.kind(),
                format!("cannot read `{}`: {e}", file.display()),
            ));
        }
    };
    let mut applies = true;
    for line in text.lines() {
        let Some((key, arguments)) = split(line) else { continue };
        match key.as_str() {
            "host" => applies = matches_list(&arguments, query.host),
            "match" => applies = matches_criteria(&arguments, query, settings),
            _ if !applies => {}
            "include" if depth > 0 => {
                for pattern in &arguments {
                    for found in expand(pattern, file, query.home) {
                        include(&found, query, settings, depth - 1)?;
                    }
                }
            }
            _ => {
                let adds_up = matches!(key.as_str(), "identityfile" | "certificatefile");
                // Commands are the rest of the line as it stands.
                let value = match key.as_str() {
                    "proxycommand" => rest(line).to_owned(),
                    _ => arguments.join(" "),
                };
                let values = settings.values.entry(key).or_default();
                if values.is_empty() || adds_up && !values.contains(&value) {
                    values.push(value);
                }
            }
        }
    }
    Ok(())
}

/// Key in lower case and arguments of a line; `None` for comments and blank lines.
fn split(line: &str) -> Option<(String, Vec<String>)> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let end = line.find(|c: char| c.is_whitespace() || c == '=')?;
    let key = line[..end].to_ascii_lowercase();
    let mut arguments = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    for c in rest(line).chars() {
        match c {
            '"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            c if c.is_whitespace() && !quoted => arguments.extend(word.take()),
            '#' if !quoted && word.is_none() => break,
            c => word.get_or_insert_default().push(c),
        }
    }
    arguments.extend(word);
    Some((key, arguments))
}

/// What follows the key of a line.
fn rest(line: &str) -> &str {
    let line = line.trim();
    let end = line.find(|c: char| c.is_whitespace() || c == '=').unwrap_or(line.len());
    let rest = line[end..].trim_start();
    rest.strip_prefix('=').unwrap_or(rest).trim()
}

/// Whether a name matches a list of patterns, of which one may forbid it.
fn matches_list(patterns: &[String], name: &str) -> bool {
    let mut found = false;
    for pattern in patterns {
        match pattern.strip_prefix('!') {
            Some(pattern) if matches(pattern, name) => return false,
            Some(_) => {}
            None => found |= matches(pattern, name),
        }
    }
    found
}

/// `*` stands for any text, `?` for one character; case does not count.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (
        pattern.to_lowercase().chars().collect(),
        name.to_lowercase().chars().collect(),
    );
    let (mut p, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        if pattern.get(p) == Some(&'*') {
            star = Some((p, n));
            p += 1;
        } else if pattern.get(p).is_some_and(|c| *c == '?' || *c == name[n]) {
            (p, n) = (p + 1, n + 1);
        } else if let Some((at, from)) = star {
            star = Some((at, from + 1));
            (p, n) = (at + 1, from + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

fn matches_criteria(arguments: &[String], query: Query<'_>, settings: &HostSettings) -> bool {
    let mut arguments = arguments.iter();
    while let Some(criterion) = arguments.next() {
        let (negated, name) = match criterion.strip_prefix('!') {
            Some(name) => (true, name),
            None => (false, criterion.as_str()),
        };
        let name = name.to_ascii_lowercase();
        if name == "all" {
            if negated {
                return false;
            }
            continue;
        }
        let list = |value: &str, patterns: &String| {
            let patterns: Vec<String> = patterns.split(',').map(str::to_owned).collect();
            matches_list(&patterns, value)
        };
        let Some(patterns) = arguments.next() else { return false };
        let holds = match name.as_str() {
            "host" => list(settings.get("hostname").unwrap_or(query.host), patterns),
            "originalhost" => list(query.host, patterns),
            "user" => match query.user.or(settings.get("user")) {
                Some(user) => list(user, patterns),
                None => false,
            },
            other => {
                tracing::warn!(
                    criterion = other,
                    "a `Match` section of the SSH configuration is passed over: this criterion is not understood"
                );
                return false;
            }
        };
        if holds == negated {
            return false;
        }
    }
    true
}

/// Files that an `Include` names; patterns are allowed in the last part of the path.
fn expand(pattern: &str, file: &Path, home: Option<&Path>) -> Vec<PathBuf> {
    let path = match (pattern.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => home.join(rest),
        _ if Path::new(pattern).is_absolute() => PathBuf::from(pattern),
        // Relative names count from the folder of the user's or the system's file.
        _ => file.parent().unwrap_or(Path::new("")).join(pattern),
    };
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if !name.contains(['*', '?']) {
        return vec![path];
    }
    let folder = path.parent().unwrap_or(Path::new("")).to_owned();
    let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries
        .filter(|entry| {
            entry
                .file_name()
                .to_str()
                .is_some_and(|n| !n.starts_with('.') && matches(name, n))
        })
        .map(|entry| entry.path())
        .collect();
    found.sort();
    found
}

#[cfg(test)]
#[path = "client_config_tests.rs"]
mod tests;
