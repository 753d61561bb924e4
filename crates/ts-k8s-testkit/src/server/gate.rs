//! Requests that wait until a test lets them go: how a test puts what happens elsewhere between a request and its answer.

use super::faults::Matcher;
use super::log::Request;
use tokio::sync::watch;

#[derive(Debug, Default)]
struct State {
    n_held: usize,
    is_open: bool,
}

/// Holds requests as they come: nothing of them is done before it is opened. Dropped, it opens.
#[derive(Debug)]
pub struct Gate {
    state: watch::Sender<State>,
}

impl Gate {
    /// Waits until it has held at least so many.
    pub async fn until_held(&self, n: usize) {
        let mut state = self.state.subscribe();
        let enough = state.wait_for(|state| state.n_held >= n).await;
        enough.expect("the gate itself holds the sender");
    }

    /// Lets all go, those that come later too.
    pub fn open(&self) {
        self.state.send_modify(|state| state.is_open = true);
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.open();
    }
}

/// A gate that waits for its requests.
#[derive(Debug)]
pub(crate) struct Hold {
    matcher: Matcher,
    state: watch::Sender<State>,
}

impl Hold {
    pub(crate) fn new(matcher: Matcher) -> (Self, Gate) {
        let state = watch::Sender::default();
        let gate = Gate { state: state.clone() };
        (Self { matcher, state }, gate)
    }
}

/// What a request has to wait for.
pub(crate) struct Turn(watch::Receiver<State>);

impl Turn {
    pub(crate) async fn come(mut self) {
        // Without its gate nothing holds it.
        let _ = self.0.wait_for(|state| state.is_open).await;
    }
}

/// Takes the gate that holds a request.
pub(crate) fn take(holds: &mut Vec<Hold>, request: &Request) -> Option<Turn> {
    holds.retain(|hold| !hold.state.borrow().is_open);
    let hold = holds.iter().find(|hold| hold.matcher.matches(request))?;
    let turn = Turn(hold.state.subscribe());
    hold.state.send_modify(|state| state.n_held += 1);
    Some(turn)
}
