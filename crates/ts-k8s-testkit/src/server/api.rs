//! The server as a test holds it: start, addresses and credentials, looks inside, and everything that can be made to happen.

use super::auth::User;
use super::connection::{Peer, Port, Switch};
use super::controllers;
use super::faults::{Armed, Fault, Matcher};
use super::gate::{Gate, Hold};
use super::handler;
use super::kinds::{self, CustomKind, Kind};
use super::log::Request;
use super::schema;
use super::setting::Setting;
use super::shared::{EndOfWatches, Shared};
use super::store::Key;
use super::world::{Denial, World};
use crate::Node;
use axum::Router;
use k8s_openapi::jiff::SignedDuration;
use serde_json::{Value, json};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// How long controllers let changes come together before they look.
const CONTROLLERS_WAIT: Duration = Duration::from_millis(5);

/// A Kubernetes API server within the process. Dropping it ends it and all its connections.
pub struct ApiServer {
    shared: Arc<Shared>,
    address: SocketAddr,
    switch: Arc<Switch>,
    _tasks: JoinSet<()>,
}

impl std::fmt::Debug for ApiServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiServer")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.shared.stop.cancel();
        self.switch.reset_all();
    }
}

impl ApiServer {
    /// Starts a server on a free port of the loopback interface.
    ///
    /// # Errors
    /// No port could be had.
    pub async fn start(setting: Setting) -> io::Result<Self> {
        let clock = SignedDuration::from_secs(setting.clock_seconds);
        let world = World::new(setting.users.clone(), setting.minor(), clock);
        let shared = Arc::new(Shared::new(setting, world));
        let (port, switch) = Port::open()?;
        let address = port.address();
        let router = Router::new().fallback(handler::handle).with_state(Arc::clone(&shared));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let served = axum::serve(port, router.into_make_service_with_connect_info::<Peer>()).await;
            tracing::debug!(?served, "the server ended");
        });
        tasks.spawn(control(Arc::clone(&shared)));
        // The first poll of both tasks is not waited for: the socket takes connections already.
        tokio::task::yield_now().await;
        Ok(Self {
            shared,
            address,
            switch,
            _tasks: tasks,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The text of a kubeconfig file for a user, by its name.
    ///
    /// # Panics
    /// There is no such user.
    pub fn kubeconfig(&self, user: &str) -> String {
        let token = self.user(user).token;
        format!(
            "apiVersion: v1\nkind: Config\nclusters:\n- name: test\n  cluster:\n    server: http://{}\nusers:\n- name: \
             {user:?}\n  user:\n    token: {token:?}\ncontexts:\n- name: test\n  context:\n    cluster: test\n    user: \
             {user:?}\n    namespace: default\ncurrent-context: test\n",
            self.address
        )
    }

    /// A client of a user, by its name, in the namespace `default`. Unlike kube's own default it tries nothing twice, so that
    /// each call is one request.
    ///
    /// # Panics
    /// There is no such user, or it is called outside a runtime.
    pub fn client(&self, user: &str) -> kube::Client {
        let mut config = kube::Config::new(format!("http://{}", self.address).parse().expect("an address"));
        config.default_retry = false;
        config.auth_info.token = Some(self.user(user).token.into());
        kube::Client::try_from(config).expect("a plain configuration")
    }

    fn user(&self, name: &str) -> User {
        let found = self.shared.world().users.iter().find(|user| user.name == name).cloned();
        found.unwrap_or_else(|| panic!("no user `{name}`"))
    }

    /// Adds a user, or replaces the one of the same name.
    pub fn set_user(&self, user: User) {
        let mut world = self.shared.world();
        world.users.retain(|known| known.name != user.name);
        world.users.push(user);
    }

    /// Gives a user another token, so that the one before is refused with 401.
    ///
    /// # Panics
    /// There is no such user.
    pub fn rotate_token(&self, user: &str, token: &str) {
        let user = User {
            token: token.to_owned(),
            ..self.user(user)
        };
        self.set_user(user);
    }

    /// Who answers for logs and commands of the pods that are on a node.
    pub fn set_node(&self, node: Arc<dyn Node>) {
        self.shared.world().node = Some(node);
    }

    /// Serves more kinds from now on.
    ///
    /// # Panics
    /// A schema has a pattern that the server cannot check.
    pub fn install_crds(&self, custom: &[CustomKind]) {
        let mut world = self.shared.world();
        for custom in custom {
            if let Some(pattern) = schema::unknown_pattern(&custom.schema) {
                panic!(
                    "the pattern `{pattern}` of kind `{}` is of a form that is not known",
                    custom.kind
                );
            }
            world.kinds.push(Arc::new(Kind::custom_from(custom)));
            let mut definition = kinds::definition(custom);
            definition["metadata"]["uid"] = super::world::uid().into();
            definition["metadata"]["creationTimestamp"] = world.now().into();
            let id = "customresourcedefinitions.apiextensions.k8s.io";
            world.store.put(Key::of(id, &definition), definition);
        }
    }

    /// All objects of a kind, by its plural, in all namespaces.
    pub fn objects(&self, plural: &str) -> Vec<Value> {
        let world = self.shared.world();
        let ids: Vec<String> = world
            .kinds
            .iter()
            .filter(|kind| kind.plural == plural)
            .map(|kind| kind.id())
            .collect();
        world
            .store
            .all()
            .filter(|(key, _)| ids.contains(&key.kind))
            .map(|(_, object)| (**object).clone())
            .collect()
    }

    /// All requests so far, in the order in which they came.
    pub fn requests(&self) -> Vec<Request> {
        self.shared
            .world()
            .requests
            .iter()
            .map(|(_, request)| request.clone())
            .collect()
    }

    /// Forgets the requests so far.
    pub fn clear_requests(&self) {
        self.shared.world().requests.clear();
    }

    /// From now on, a webhook refuses creates and updates of a kind, by its plural, with 400 or 403 and a message.
    pub fn deny(&self, plural: &str, code: u16, message: &str) {
        let message = Some(message.to_owned());
        self.shared.world().denials.push(Denial {
            plural: plural.to_owned(),
            code,
            message,
        });
    }

    /// From now on, the webhook of a kind, by its plural, cannot be reached, so that its writes fail with 500.
    pub fn break_webhook(&self, plural: &str) {
        self.shared.world().denials.push(Denial {
            plural: plural.to_owned(),
            code: 500,
            message: None,
        });
    }

    /// Ends what [`Self::deny`] and [`Self::break_webhook`] began.
    pub fn allow(&self, plural: &str) {
        self.shared.world().denials.retain(|denial| denial.plural != plural);
    }

    /// The next so many requests that match go wrong.
    pub fn fault(&self, matcher: Matcher, fault: Fault, times: usize) {
        if times > 0 {
            self.shared.world().faults.push(Armed { matcher, fault, times });
        }
    }

    /// From now on, requests that match wait at the gate.
    pub fn hold(&self, matcher: Matcher) -> Gate {
        let (hold, gate) = Hold::new(matcher);
        self.shared.world().holds.push(hold);
        gate
    }

    /// No more faults.
    pub fn clear_faults(&self) {
        self.shared.world().faults.clear();
    }

    /// Makes all versions so far too old to watch or continue a list from.
    pub fn compact(&self) {
        self.shared.world().store.compact();
    }

    /// Breaks the connections of all watches, within a frame.
    pub fn cut_watches(&self) {
        self.shared
            .watches
            .send_modify(|state| *state = (state.0 + 1, EndOfWatches::Cut));
    }

    /// Ends all watches, as their time-outs do.
    pub fn end_watches(&self) {
        self.shared
            .watches
            .send_modify(|state| *state = (state.0 + 1, EndOfWatches::Close));
    }

    /// Breaks the connections of all commands in containers, without a word.
    pub fn cut_commands(&self) {
        self.shared.commands.send_modify(|n| *n += 1);
    }

    /// The server goes down: all connections are reset, new ones refused. What is stored stays.
    pub async fn pause(&self) {
        self.switch.set(false).await;
    }

    /// The server comes back on the same port.
    pub async fn resume(&self) {
        self.switch.set(true).await;
    }

    /// Resets all connections; new ones are served at once.
    pub fn reset_connections(&self) {
        self.switch.reset_all();
    }

    /// Changes an object behind the back of all rules, as nothing but a test of the unexpected should need.
    ///
    /// # Panics
    /// There is no such object.
    pub fn edit(&self, plural: &str, namespace: &str, name: &str, edit: impl FnOnce(&mut Value)) {
        let mut world = self.shared.world();
        let found =
            world.store.all().map(|(key, _)| key).find(|key| {
                key.kind.split('.').next() == Some(plural) && key.namespace == namespace && key.name == name
            });
        let key = found
            .cloned()
            .unwrap_or_else(|| panic!("no {plural} `{name}` in namespace `{namespace}`"));
        let mut object = world
            .store
            .get(&key)
            .map_or_else(|| json!({}), |object| (*object).clone());
        edit(&mut object);
        world.store.put(key, object);
    }
}

/// Runs the controllers whenever something changed, until they have nothing left to do.
async fn control(shared: Arc<Shared>) {
    let mut changed = shared.world().store.subscribe();
    loop {
        changed.borrow_and_update();
        controllers::round(&mut shared.world());
        if !changed.has_changed().unwrap_or(false) && changed.changed().await.is_err() {
            return;
        }
        tokio::time::sleep_until(Instant::now() + CONTROLLERS_WAIT).await;
    }
}
