//! The parameters of a trial that has not ended: those it began with and those it asked for, and what came of each.
//!
//! Counting and choosing only; asking, storing and sending belong to `next_parameters`.

use crate::{
    source::{parameter_id, says_no_more},
    store::{Optimize, Phase},
};
use std::{cmp::Ordering, collections::HashMap, sync::Arc};

/// All of them, those of index 0 first, the others in the order in which they were asked for.
#[derive(Debug)]
pub(crate) struct Phases {
    /// Packed parameters that it began with.
    first: Arc<str>,
    entries: Vec<Entry>,
    /// Where an index stands among the entries.
    positions: HashMap<u32, usize>,
    /// Where the usable ones with an id of NNI's stand; empty until further ones are there.
    ids: HashMap<String, usize>,
    /// Where the newest usable ones stand.
    newest: usize,
    /// Where the best result stands, if that was looked for.
    best: Option<usize>,
    /// Requests that named no index.
    n_requests: u32,
}

#[derive(Debug)]
struct Entry {
    index: u32,
    /// `None` while they are asked for.
    text: Option<Arc<str>>,
    delivered: bool,
    /// Sends that failed.
    tries: u32,
    /// The last final metric, and the number in it.
    result: Option<(Arc<str>, Option<f64>)>,
}

/// What is known of parameters that a trial asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Asked {
    /// They are there.
    Given,
    /// They were asked for before.
    Open,
    /// They are to be asked for.
    New,
}

impl Phases {
    /// Those of a trial that was just made.
    pub(crate) fn new(first: Arc<str>) -> Self {
        Self {
            entries: vec![Entry {
                text: Some(Arc::clone(&first)),
                delivered: true,
                ..Entry::asked(0)
            }],
            positions: HashMap::from([(0, 0)]),
            ids: HashMap::new(),
            newest: 0,
            best: None,
            first,
            n_requests: 0,
        }
    }

    /// Those of a trial of an earlier run, with its result, `phases` as the store has them.
    pub(crate) fn stored(first: Arc<str>, result: Option<(Arc<str>, Option<f64>)>, phases: &[Phase], n: u32) -> Self {
        let mut all = Self::new(first);
        all.n_requests = n;
        all.entries[0].result = result;
        for phase in phases {
            let position = all.place(phase.index);
            all.entries[position] = Entry {
                text: phase.parameters.as_deref().map(Arc::from),
                delivered: phase.delivered,
                result: phase.final_value.as_deref().map(|v| (Arc::from(v), phase.final_number)),
                ..Entry::asked(phase.index)
            };
            if position > 0 {
                all.note_usable(position);
            }
        }
        all
    }

    fn entry(&mut self, index: u32) -> Option<&mut Entry> {
        let position = *self.positions.get(&index)?;
        self.entries.get_mut(position)
    }

    /// Where this index stands, as one that is asked for if it was not there.
    fn place(&mut self, index: u32) -> usize {
        *self.positions.entry(index).or_insert_with(|| {
            self.entries.push(Entry::asked(index));
            self.entries.len() - 1
        })
    }

    /// Further parameters are there.
    fn note_usable(&mut self, position: usize) {
        for position in [0, position] {
            let Some((_, text)) = self.entries[position].usable() else {
                continue;
            };
            self.newest = self.newest.max(position);
            if (position > 0 || self.ids.is_empty())
                && let Some(id) = parameter_id(text)
            {
                let at = self.ids.entry(id).or_insert(position);
                *at = position.max(*at);
            }
        }
    }

    /// The index that a request without one means: the first such request asks for what the trial began with.
    pub(crate) fn count_request(&mut self) -> u32 {
        self.n_requests = self.n_requests.saturating_add(1);
        self.n_requests - 1
    }

    /// The trial asks for those of this index.
    pub(crate) fn ask(&mut self, index: u32) -> Asked {
        match self.entry(index) {
            Some(Entry { text: Some(_), .. }) => Asked::Given,
            Some(_) => Asked::Open,
            None => {
                self.place(index);
                Asked::New
            }
        }
    }

    /// They are there; `false` if nobody waits for them.
    pub(crate) fn give(&mut self, index: u32, text: Arc<str>) -> bool {
        let Some(&position) = self.positions.get(&index) else {
            return false;
        };
        let entry = &mut self.entries[position];
        let is_open = entry.text.is_none();
        if is_open {
            entry.text = Some(text);
            self.note_usable(position);
        }
        is_open
    }

    /// Packed parameters of this index, if they are there.
    pub(crate) fn text(&self, index: u32) -> Option<&Arc<str>> {
        self.entries[*self.positions.get(&index)?].text.as_ref()
    }

    /// The parameters that a metric with this id is of: an id that was not given, or none, means the newest.
    pub(crate) fn of(&self, id: Option<&serde_json::Value>) -> (u32, Arc<str>) {
        if !self.are_several() {
            // Nearly every metric: nothing is to be chosen, so no text is read.
            return (0, Arc::clone(&self.first));
        }
        let named = id.and_then(|id| match id.as_str() {
            Some(id) => self.ids.get(id),
            None => self.ids.get(&id.to_string()),
        });
        let of = &self.entries[named.copied().unwrap_or(self.newest)];
        (of.index, Arc::clone(of.text.as_ref().unwrap_or(&self.first)))
    }

    /// A final metric of these parameters; the index of those whose result is the trial's now.
    pub(crate) fn result(&mut self, index: u32, value: Arc<str>, number: Option<f64>, optimize: Optimize) -> u32 {
        let Some(&position) = self.positions.get(&index) else {
            return index;
        };
        let number = number.filter(|n| !n.is_nan());
        let earlier = self.entries[position].result.replace((value, number));
        let best = match self.best {
            Some(best) if earlier.is_none() => self.better(best, position, optimize),
            // The best one may have become worse.
            _ => {
                let with_result = (0..self.entries.len()).filter(|&at| self.entries[at].result.is_some());
                let best = with_result.reduce(|best, at| self.better(best, at, optimize));
                best.unwrap_or(position)
            }
        };
        self.best = Some(best);
        self.entries[best].index
    }

    /// Which of two results counts: the better one, of equal ones the earlier, of those without a number the later.
    fn better(&self, one: usize, other: usize, optimize: Optimize) -> usize {
        let number = |at: usize| self.entries[at].result.as_ref().and_then(|(_, number)| *number);
        let (early, late) = (one.min(other), one.max(other));
        let late_is_better = match (number(early), number(late)) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(early), Some(late)) => {
                let order = late.partial_cmp(&early).unwrap_or(Ordering::Equal);
                match optimize {
                    Optimize::Minimize => order.is_lt(),
                    Optimize::Maximize => order.is_gt(),
                }
            }
        };
        if late_is_better { late } else { early }
    }

    /// The result of these parameters.
    pub(crate) fn value(&self, index: u32) -> Option<Arc<str>> {
        let entry = &self.entries[*self.positions.get(&index)?];
        entry.result.as_ref().map(|(value, _)| Arc::clone(value))
    }

    /// Whether it asked for further ones.
    pub(crate) fn are_several(&self) -> bool {
        self.entries.len() > 1
    }

    /// Packed parameters that it was given on the way.
    pub(crate) fn further(&self) -> Vec<Arc<str>> {
        let further = self.entries.iter().filter(|entry| entry.index > 0);
        further
            .filter_map(Entry::usable)
            .map(|(_, text)| Arc::clone(text))
            .collect()
    }

    /// Indices of those that are asked for.
    pub(crate) fn open(&self) -> Vec<u32> {
        let open = self.entries.iter().filter(|entry| entry.text.is_none());
        open.map(|entry| entry.index).collect()
    }

    /// Indices of those that are there and that the platform is not known to have.
    pub(crate) fn undelivered(&self) -> Vec<u32> {
        let waiting = self
            .entries
            .iter()
            .filter(|entry| entry.text.is_some() && !entry.delivered);
        waiting.map(|entry| entry.index).collect()
    }

    /// The platform has those of this index.
    pub(crate) fn delivered(&mut self, index: u32) {
        if let Some(entry) = self.entry(index) {
            entry.delivered = true;
        }
    }

    /// Another send of those of this index failed; how many did.
    pub(crate) fn failed(&mut self, index: u32) -> u32 {
        self.entry(index).map_or(1, |entry| {
            entry.tries += 1;
            entry.tries
        })
    }
}

impl Entry {
    fn asked(index: u32) -> Self {
        Self {
            index,
            text: None,
            delivered: false,
            tries: 0,
            result: None,
        }
    }

    /// The packed text, if it is there and not the word that there are no more.
    fn usable(&self) -> Option<(u32, &Arc<str>)> {
        let text = self.text.as_ref()?;
        (self.index == 0 || !says_no_more(text)).then_some((self.index, text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    /// What a test does with a trial.
    #[derive(Debug, Clone)]
    enum Step {
        Ask(u32),
        Give(u32, Option<u32>),
        Result(u32, Option<f64>),
    }

    fn packed(id: Option<u32>) -> Arc<str> {
        id.map_or_else(
            || json!({"parameter_id": null, "parameters": null}).to_string().into(),
            |id| format!("{{\"parameter_id\": {id}, \"parameters\": {{}}}}").into(),
        )
    }

    fn step() -> impl Strategy<Value = Step> {
        let number = prop::option::of((-2_i32..3).prop_map(f64::from));
        prop_oneof![
            (0_u32..6).prop_map(Step::Ask),
            (0_u32..6, prop::option::of(0_u32..4)).prop_map(|(index, id)| Step::Give(index, id)),
            (0_u32..6, number).prop_map(|(index, number)| Step::Result(index, number)),
        ]
    }

    /// Those that a metric with this id is of, as one would look for them by hand.
    fn looked_for(phases: &Phases, id: u32) -> u32 {
        let usable = || phases.entries.iter().rev().filter_map(Entry::usable);
        let named = usable().find(|(_, text)| parameter_id(text) == Some(id.to_string()));
        named.or_else(|| usable().next()).unwrap().0
    }

    proptest! {
        #[test]
        fn choices_are_those_of_a_search_by_hand(steps in prop::collection::vec(step(), 0..40), is_least: bool) {
            let optimize = if is_least { Optimize::Minimize } else { Optimize::Maximize };
            let mut phases = Phases::new(packed(Some(0)));
            for step in steps {
                match step {
                    Step::Ask(index) => {
                        phases.ask(index);
                    }
                    Step::Give(index, id) => {
                        phases.give(index, packed(id));
                    }
                    Step::Result(index, number) if phases.text(index).is_some() => {
                        let chosen = phases.result(index, json!(number).to_string().into(), number, optimize);
                        let results = phases.entries.iter().filter_map(|e| Some((e.index, e.result.as_ref()?.1)));
                        let (mut with, without): (Vec<_>, Vec<_>) = results.partition(|(_, number)| number.is_some());
                        let sign = if is_least { 1.0 } else { -1.0 };
                        with.sort_by(|a, b| (a.1.unwrap() * sign).total_cmp(&(b.1.unwrap() * sign)));
                        let best = with.first().or(without.last()).unwrap();
                        prop_assert_eq!(chosen, best.0);
                    }
                    Step::Result(..) => {}
                }
                for id in 0..5 {
                    prop_assert_eq!(phases.of(Some(&json!(id))).0, looked_for(&phases, id));
                    prop_assert_eq!(phases.of(Some(&json!(id.to_string()))).0, looked_for(&phases, id));
                }
                prop_assert_eq!(phases.of(None).0, looked_for(&phases, 99));
            }
        }
    }
}
