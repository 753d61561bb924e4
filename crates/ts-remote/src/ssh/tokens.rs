//! What stands for what in values of OpenSSH's files: tokens, variables, and `~`.
//!
//! Source: ssh_config(5) of OpenSSH 9.2, TOKENS and ENVIRONMENT VARIABLES. `%C`, a digest that names sockets of shared
//! connections, is not here: we share none.

use super::surroundings::{Surroundings, host_name};
use std::path::PathBuf;

/// What is known of a machine when its other values are read.
pub(crate) struct Tokens<'a> {
    pub(crate) name: &'a str,
    pub(crate) host: &'a str,
    pub(crate) port: u16,
    pub(crate) user: &'a str,
    pub(crate) key_alias: Option<&'a str>,
    pub(crate) around: &'a Surroundings,
}

impl Tokens<'_> {
    /// Puts in what tokens stand for; one that is not known stays.
    pub(crate) fn expand(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            if c != '%' {
                out.push(c);
                continue;
            }
            match chars.next() {
                Some('%') | None => out.push('%'),
                Some('h') => out.push_str(self.host),
                Some('n') => out.push_str(self.name),
                Some('p') => out.push_str(&self.port.to_string()),
                Some('r') => out.push_str(self.user),
                Some('k') => out.push_str(self.key_alias.unwrap_or(self.name)),
                Some('u') => out.push_str(self.around.user.as_deref().unwrap_or_default()),
                Some('i') => out.push_str(&nix::unistd::Uid::current().to_string()),
                Some('d') => out.extend(self.around.home.iter().map(|home| home.display().to_string())),
                Some('l') => out.push_str(&host_name()),
                Some('L') => out.push_str(host_name().split('.').next().unwrap_or_default()),
                Some(other) => out.extend(['%', other]),
            }
        }
        out
    }

    /// A path with `~`, tokens and `${VARIABLE}`; `None` if a variable is not set, for then OpenSSH ignores the setting.
    pub(crate) fn path(&self, text: &str) -> Option<PathBuf> {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            let (name, after) = after.split_once('}')?;
            out += &self.expand(before);
            out += self.around.variables.get(name)?;
            rest = after;
        }
        out += &self.expand(rest);
        Some(self.around.path(&out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_openssh() {
        let around = Surroundings {
            home: Some("/home/me".into()),
            user: Some("me".into()),
            variables: [("KEYS".to_owned(), "/keys/100%".to_owned())].into(),
        };
        let tokens = |key_alias| Tokens {
            name: "gpu",
            host: "gpu.lab",
            port: 2222,
            user: "worker",
            key_alias,
            around: &around,
        };
        let path = |text: &str| tokens(None).path(text).map(|path| path.display().to_string());
        let found = |text: &str| path(text).expect("all variables are set");
        assert_eq!(
            found("~/.ssh/%r@%h:%p %n %u %k"),
            "/home/me/.ssh/worker@gpu.lab:2222 gpu me gpu"
        );
        assert_eq!(found("%d/100%%/%Z"), "/home/me/100%/%Z");
        assert_eq!(
            found("${KEYS}/%n"),
            "/keys/100%/gpu",
            "what a variable holds is not read again"
        );
        assert_eq!(path("${ABSENT}/x"), None);
        assert_eq!(found("~"), "/home/me/");
        let (uid, whole) = (nix::unistd::Uid::current(), host_name());
        let short = whole.split('.').next().expect("one part at least");
        assert_eq!(found("%i-%l-%L"), format!("{uid}-{whole}-{short}"));
        assert_eq!(tokens(Some("farm")).path("%k"), Some("farm".into()));
        let root = nix::unistd::User::from_name("root")
            .expect("a list of users")
            .expect("root");
        assert_eq!(found("~root/key"), root.dir.join("key").display().to_string());
    }
}
