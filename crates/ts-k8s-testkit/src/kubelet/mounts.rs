//! Volumes without mounts: where a command names a mount path, it gets the real directory instead.
//!
//! A container here sees the files of the machine, so nothing can appear at `/data` for it alone. Every occurrence of a mount path in
//! its command, arguments, variables, working directory and in commands of `exec` is replaced, at the ends of path components only.
//! What a program puts together itself, or reads from a file, is not: tests have to hand over paths in one of those ways.
//! `/dev/shm` is left alone, since the machine has one.

use std::path::{Path, PathBuf};

/// Where the volumes of one container are.
#[derive(Debug, Clone, Default)]
pub(super) struct Mounts {
    /// Mount paths without a slash at the end, longest first, and what is there.
    places: Vec<(String, PathBuf)>,
}

impl Mounts {
    /// Mounts at the given paths.
    pub(super) fn new(places: impl IntoIterator<Item = (String, PathBuf)>) -> Self {
        let mut places: Vec<(String, PathBuf)> = places
            .into_iter()
            .map(|(path, place)| (path.trim_end_matches('/').to_owned(), place))
            .filter(|(path, _)| !path.is_empty() && path != "/dev/shm")
            .collect();
        places.sort_by(|(one, _), (other, _)| other.len().cmp(&one.len()).then_with(|| one.cmp(other)));
        Self { places }
    }

    /// The text with real directories. What was put in is not looked at again.
    pub(super) fn apply(&self, text: &str) -> String {
        let mut replaced = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find('/') {
            let (before, here) = rest.split_at(at);
            replaced.push_str(before);
            let starts = match replaced.chars().next_back() {
                Some('/') => replaced.ends_with("file://"),
                // After these comes the rest of a path whose beginning a shell puts in.
                Some('}' | ')') => false,
                Some(other) => !continues(other),
                None => true,
            };
            let found = starts
                .then(|| {
                    self.places
                        .iter()
                        .find_map(|(path, place)| Some((strip(here, path)?, place)))
                })
                .flatten();
            if let Some((tail, place)) = found {
                replaced.push_str(&place.to_string_lossy());
                rest = tail;
            } else {
                replaced.push('/');
                rest = &here[1..];
            }
        }
        replaced.push_str(rest);
        replaced
    }

    /// The path with real directories.
    pub(super) fn place(&self, path: &str) -> Option<PathBuf> {
        self.places.iter().find_map(|(mounted, place)| {
            let below = strip(path, mounted)?.trim_start_matches('/');
            Some(if below.is_empty() {
                place.clone()
            } else {
                Path::new(place).join(below)
            })
        })
    }
}

/// What follows `path` in `text`, if `text` begins with it as a whole.
fn strip<'a>(text: &'a str, path: &str) -> Option<&'a str> {
    text.strip_prefix(path)
        .filter(|tail| !tail.chars().next().is_some_and(continues))
}

/// Whether the character goes on with a component of a path.
fn continues(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '.' | '_' | '-' | '+' | '@' | '~' | '%')
}

#[cfg(test)]
mod tests {
    use super::Mounts;
    use std::path::PathBuf;

    fn mounts(places: &[(&str, &str)]) -> Mounts {
        Mounts::new(
            places
                .iter()
                .map(|(path, place)| ((*path).to_owned(), PathBuf::from(place))),
        )
    }

    #[test]
    fn whole_components_only() {
        let mounts = mounts(&[
            ("/a/b", "/X"),
            ("/a/b/c/", "/Y"),
            ("/tmp", "/tmp/Z"),
            ("/dev/shm", "/S"),
        ]);
        for (text, expected) in [
            ("/a/b", "/X"),
            ("/a/b/", "/X/"),
            ("/a/b/d", "/X/d"),
            ("/a/b/c", "/Y"),
            ("/a/b/c/d", "/Y/d"),
            ("/a/bc", "/a/bc"),
            ("/a/b.c", "/a/b.c"),
            ("/x/a/b", "/x/a/b"),
            ("x/a/b", "x/a/b"),
            ("$HOME/a/b ${X}/a/b $(pwd)/a/b", "$HOME/a/b ${X}/a/b $(pwd)/a/b"),
            (
                "cat '/a/b/f' \"/a/b\";--dir=/a/b,/a/b:/a/b",
                "cat '/X/f' \"/X\";--dir=/X,/X:/X",
            ),
            ("file:///a/b/f http://a/b", "file:///X/f http://a/b"),
            ("/tmp/f /tmp", "/tmp/Z/f /tmp/Z"),
            ("/dev/shm/q", "/dev/shm/q"),
            ("é/a/b /a/bé", "é/a/b /a/bé"),
        ] {
            assert_eq!(mounts.apply(text), expected, "{text}");
        }
    }

    #[test]
    fn places() {
        let mounts = mounts(&[("/a", "/X")]);
        assert_eq!(mounts.place("/a/b"), Some(PathBuf::from("/X/b")));
        assert_eq!(mounts.place("/a/"), Some(PathBuf::from("/X")));
        assert_eq!(mounts.place("/ab"), None);
    }
}
