//! The platforms: their sections of schema 1 and their keys of `trial` become `trainingService`.

use super::{
    Note, NoteKind,
    convert::{Draft, File},
    tree::{Fate, Out, OutItem, OutValue, insert, join},
};
use crate::{
    Platform,
    config::{
        node::{Entry, Value},
        source::Schema,
    },
};

const TRIAL: &str = "trial";

impl<'a> File<'a> {
    /// The platforms of the experiment, in its order.
    pub(super) fn chosen(&self) -> impl Iterator<Item = &'a Platform> {
        let (config, platforms) = (self.config, self.platforms);
        config
            .platforms
            .iter()
            .filter_map(|section| platforms.iter().find(|platform| platform.name == section.platform()))
    }

    /// Whether `trainingService` stands at the place of this key: the platforms' first section, or else their names'.
    pub(super) fn is_service(&self, key: &str) -> bool {
        let sections = || self.platforms.iter().flat_map(|platform| platform.v1_sections);
        let is_chosen = |key: &str| self.chosen().any(|platform| platform.v1_sections.contains(&key));
        let has_section = self.entries().iter().any(|entry| is_chosen(&entry.key));
        sections().any(|section| *section == key) || (!has_section && key == "trainingServicePlatform")
    }

    pub(super) fn training_service(&self, draft: &mut Draft<'_>) -> Out {
        let named = |key: &str| self.entries().iter().find(|entry| entry.key == key);
        let name = named("trainingServicePlatform");
        let hybrid = named("hybridConfig").filter(|_| name.is_some_and(|entry| is_text(entry, "hybrid")));
        for entry in [name, hybrid].into_iter().flatten() {
            let fate = Fate::Renamed("trainingService.platform".to_owned());
            draft.copier.note(entry, &entry.key, fate);
        }
        let mut members: Vec<Vec<Out>> = Vec::new();
        for platform in self.chosen() {
            let mut platform_key = Out::new("platform", OutValue::Scalar(Value::String(platform.name.to_owned())));
            if members.is_empty()
                && let Some(entry) = name
            {
                let place = (entry.line, entry.column);
                platform_key.above = draft.copier.layout.take_above(place);
                platform_key.behind = draft.copier.layout.take_behind(place);
            }
            let mut outs = vec![platform_key];
            self.member(platform, draft, &mut outs);
            members.push(outs);
        }
        let unused = |entry: &&Entry| {
            let of = |platform: &Platform| platform.v1_sections.contains(&entry.key.as_str());
            self.platforms.iter().any(of) && !self.chosen().any(of)
        };
        for entry in self.entries().iter().filter(unused) {
            draft.drop_key(
                entry,
                &entry.key,
                "nothing is to be done: it belongs to another platform",
            );
        }
        let is_list = hybrid.is_some() || members.len() != 1;
        let map = |entries| OutValue::Map { flow: false, entries };
        let value = if is_list {
            let items = members.into_iter().map(|entries| OutItem {
                above: Vec::new(),
                behind: None,
                value: map(entries),
            });
            OutValue::Seq {
                flow: false,
                items: items.collect(),
            }
        } else {
            map(members.pop().unwrap_or_default())
        };
        let mut service = Out::new("trainingService", value);
        service.above = first_comments(&mut service.value);
        service
    }

    fn member(&self, platform: &Platform, draft: &mut Draft<'_>, outs: &mut Vec<Out>) {
        let trial = self.root.find(Schema::V1, TRIAL);
        let of_trial: Vec<&Entry> = trial
            .and_then(|trial| trial.entries())
            .unwrap_or_default()
            .iter()
            .filter(|entry| platform.v1_trial_keys.contains(&entry.key.as_str()))
            .collect();
        // What `trial` says wins over the platform's own section.
        let mut taken: Vec<&str> = of_trial
            .iter()
            .filter(|entry| !entry.value.is_null())
            .filter_map(|entry| Some(draft.copier.reads.find(Some(platform.name), entry)?.written))
            .collect();
        if trial.is_some_and(|trial| trial.find(Schema::V1, "gpuNum").is_some()) {
            taken.push("trialGpuNumber");
        }
        for entry in self.entries() {
            if entry.key == TRIAL {
                for inner in &of_trial {
                    place(inner, TRIAL, platform, draft, outs);
                }
            } else if platform.v1_sections.contains(&entry.key.as_str()) {
                section(entry, platform, &taken, draft, outs);
            }
        }
        let additions = draft.copier.reads.additions.iter();
        for addition in additions.filter(|addition| addition.platform == Some(platform.name)) {
            let key = addition.place.rsplit('.').next().unwrap_or_default();
            let value = match &addition.value {
                serde_json::Value::String(text) => Value::String(text.clone()),
                other => Value::String(other.to_string()),
            };
            let path: Vec<&str> = addition.place.split('.').collect();
            if insert(outs, &path, Out::new(key, OutValue::Scalar(value))) {
                draft.notes.push(Note {
                    line: 0,
                    key: String::new(),
                    kind: NoteKind::Changed,
                    message: format!("`trainingService.{}` is spelled out", addition.place),
                    help: None,
                });
            }
        }
    }
}

/// A section's own keys, or the section as one key if it is a list.
fn section(entry: &Entry, platform: &Platform, taken: &[&str], draft: &mut Draft<'_>, outs: &mut Vec<Out>) {
    let Some(inner) = entry.value.entries() else {
        if !entry.value.is_null() {
            place(entry, "", platform, draft, outs);
        }
        return;
    };
    draft.lifted(entry, "`trainingService`");
    let at = (entry.line, entry.column);
    let mut above = draft.copier.layout.take_above(at);
    above.extend(draft.copier.layout.take_behind(at));
    for key in inner {
        let written = draft
            .copier
            .reads
            .find(Some(platform.name), key)
            .map(|read| read.written);
        if written.is_some_and(|written| taken.contains(&written)) {
            let full = join(&entry.key, &key.key);
            draft.drop_key(key, &full, "nothing is to be done: what `trial` says wins");
            continue;
        }
        let before = outs.len();
        place(key, &entry.key, platform, draft, outs);
        if let Some(out) = outs.get_mut(before) {
            out.above.splice(0..0, above.drain(..));
        }
    }
    let last = outs.last_mut().filter(|_| !above.is_empty());
    if let Some(last) = last {
        last.above.append(&mut above);
    }
    let below = draft.copier.layout.take_below(at);
    if let Some(last) = outs.last_mut() {
        last.below.extend(below);
    }
}

/// Puts a key of a platform where schema 2 has it.
fn place(entry: &Entry, path: &str, platform: &Platform, draft: &mut Draft<'_>, outs: &mut Vec<Out>) {
    let full = join(path, &entry.key);
    let Some(written) = draft.copier.fate(entry, Some(platform.name), &full) else {
        return;
    };
    let out = draft.copier.entry(entry, written.key(), Some(platform.name), &full);
    insert(outs, &written.0, out);
}

fn is_text(entry: &Entry, text: &str) -> bool {
    matches!(&entry.value.value, Value::String(written) if written == text)
}

/// Comments above the first key of a section, which stand above the section itself.
fn first_comments(value: &mut OutValue) -> Vec<super::layout::Comment> {
    match value {
        OutValue::Map { entries, .. } => entries
            .first_mut()
            .map(|first| std::mem::take(&mut first.above))
            .unwrap_or_default(),
        OutValue::Seq { items, .. } => items
            .first_mut()
            .map(|item| first_comments(&mut item.value))
            .unwrap_or_default(),
        _ => Vec::new(),
    }
}
