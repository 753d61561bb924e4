//! Who may do what: bearer tokens to users, users to rules. Only the decision is here; its refusal is worded in `failure`.

use super::failure::Failure;

/// A user of the server.
#[derive(Debug, Clone)]
pub struct User {
    /// As refusals name it.
    pub name: String,
    /// Its bearer token.
    pub token: String,
    /// What it may do; `None` may do everything.
    pub rules: Option<Vec<Rule>>,
}

impl User {
    /// A user who may do everything, with the token `token-of-NAME`.
    pub fn admin(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            token: format!("token-of-{name}"),
            rules: None,
        }
    }

    /// A user who may do what the rules say, with the token `token-of-NAME`.
    pub fn with_rules(name: &str, rules: Vec<Rule>) -> Self {
        Self {
            rules: Some(rules),
            ..Self::admin(name)
        }
    }
}

/// One rule of a Role, bound in a namespace, or of a ClusterRole. `*` in a list stands for all.
#[derive(Debug, Clone)]
pub struct Rule {
    /// The core group is the empty text.
    pub groups: Vec<String>,
    /// Plural names; a subresource is `pods/log`.
    pub resources: Vec<String>,
    /// Such as `get`, `deletecollection`.
    pub verbs: Vec<String>,
    /// Where it holds; `None` is the whole cluster.
    pub namespace: Option<String>,
}

impl Rule {
    /// A rule from lists separated by blanks, for one group: `Rule::new("", "pods pods/log", "get list", Some("default"))`.
    pub fn new(group: &str, resources: &str, verbs: &str, namespace: Option<&str>) -> Self {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect();
        Self {
            groups: vec![group.to_owned()],
            resources: words(resources),
            verbs: words(verbs),
            namespace: namespace.map(str::to_owned),
        }
    }

    fn allows(&self, what: &Attributes<'_>) -> bool {
        let has = |list: &[String], one: &str| list.iter().any(|entry| entry == "*" || entry == one);
        let resource = what.resource();
        has(&self.groups, what.group)
            && has(&self.resources, &resource)
            && has(&self.verbs, what.verb)
            && self
                .namespace
                .as_deref()
                .is_none_or(|namespace| namespace == what.namespace)
    }
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attributes<'a> {
    pub(crate) verb: &'a str,
    pub(crate) group: &'a str,
    pub(crate) plural: &'a str,
    /// Empty: the object itself.
    pub(crate) subresource: &'a str,
    /// Empty: the cluster.
    pub(crate) namespace: &'a str,
    /// Empty: a collection.
    pub(crate) name: &'a str,
}

impl Attributes<'_> {
    fn resource(&self) -> String {
        if self.subresource.is_empty() {
            self.plural.to_owned()
        } else {
            format!("{}/{}", self.plural, self.subresource)
        }
    }
}

/// Whether the user may.
pub(crate) fn allowed(user: &User, what: &Attributes<'_>) -> bool {
    // Source: kubernetes v1.20, ClusterRole `system:basic-user`, bound to everyone who is authenticated.
    let basic =
        what.group == "authorization.k8s.io" && what.plural == "selfsubjectaccessreviews" && what.verb == "create";
    basic
        || user
            .rules
            .as_ref()
            .is_none_or(|rules| rules.iter().any(|rule| rule.allows(what)))
}

/// Refuses what the user may not.
pub(crate) fn authorize(user: &User, what: &Attributes<'_>) -> Result<(), Failure> {
    if allowed(user, what) {
        return Ok(());
    }
    let place = if what.namespace.is_empty() {
        "at the cluster scope".to_owned()
    } else {
        format!("in the namespace {:?}", what.namespace)
    };
    let why = format!(
        "User {:?} cannot {} resource {:?} in API group {:?} {place}",
        user.name,
        what.verb,
        what.resource(),
        what.group
    );
    Err(Failure::forbidden(what.group, what.plural, what.name, &why))
}
