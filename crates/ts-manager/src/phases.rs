//! The parameters of a trial that has not ended: those it began with and those it asked for, and what came of each.
//!
//! Counting and choosing only; asking, storing and sending belong to `next_parameters`.

use crate::{
    source::{parameter_id, says_no_more},
    store::{Optimize, Phase},
};
use std::{cmp::Ordering, sync::Arc};

/// All of them, those of index 0 first.
#[derive(Debug)]
pub(crate) struct Phases {
    /// Packed parameters that it began with.
    first: Arc<str>,
    entries: Vec<Entry>,
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
            let of_store = Entry {
                text: phase.parameters.as_deref().map(Arc::from),
                delivered: phase.delivered,
                result: phase.final_value.as_deref().map(|v| (Arc::from(v), phase.final_number)),
                ..Entry::asked(phase.index)
            };
            match all.entry(phase.index) {
                Some(entry) => *entry = of_store,
                None => all.entries.push(of_store),
            }
        }
        all
    }

    fn entry(&mut self, index: u32) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.index == index)
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
                self.entries.push(Entry::asked(index));
                Asked::New
            }
        }
    }

    /// They are there; `false` if nobody waits for them.
    pub(crate) fn give(&mut self, index: u32, text: Arc<str>) -> bool {
        let open = self.entry(index).filter(|entry| entry.text.is_none());
        open.map(|entry| entry.text = Some(text)).is_some()
    }

    /// Packed parameters of this index, if they are there.
    pub(crate) fn text(&self, index: u32) -> Option<&Arc<str>> {
        self.entries.iter().find(|entry| entry.index == index)?.text.as_ref()
    }

    /// The parameters that a metric with this id is of: an id that was not given, or none, means the newest.
    pub(crate) fn of(&self, id: Option<&serde_json::Value>) -> (u32, Arc<str>) {
        if !self.are_several() {
            // Nearly every metric: nothing is to be chosen, so no text is read.
            return (0, Arc::clone(&self.first));
        }
        let usable = || self.entries.iter().rev().filter_map(Entry::usable);
        let named = id.and_then(|id| {
            let id = id.as_str().map_or_else(|| id.to_string(), str::to_owned);
            usable().find(|(_, text)| parameter_id(text).as_ref() == Some(&id))
        });
        let (index, text) = named.or_else(|| usable().next()).unwrap_or((0, &self.first));
        (index, Arc::clone(text))
    }

    /// A final metric of these parameters; the index of those whose result is the trial's now.
    pub(crate) fn result(&mut self, index: u32, value: Arc<str>, number: Option<f64>, optimize: Optimize) -> u32 {
        if let Some(entry) = self.entry(index) {
            entry.result = Some((value, number.filter(|n| !n.is_nan())));
        }
        let mut best: Option<(u32, Option<f64>)> = None;
        for (index, number) in self
            .entries
            .iter()
            .filter_map(|e| Some((e.index, e.result.as_ref()?.1)))
        {
            let is_better = match (best, number) {
                (None | Some((_, None)), _) => true,
                (Some((_, Some(best))), Some(number)) => {
                    let order = number.partial_cmp(&best).unwrap_or(Ordering::Equal);
                    match optimize {
                        Optimize::Minimize => order.is_lt(),
                        Optimize::Maximize => order.is_gt(),
                    }
                }
                (Some(_), None) => false,
            };
            if is_better {
                best = Some((index, number));
            }
        }
        best.map_or(index, |(index, _)| index)
    }

    /// The result of these parameters.
    pub(crate) fn value(&self, index: u32) -> Option<Arc<str>> {
        let entry = self.entries.iter().find(|entry| entry.index == index)?;
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
