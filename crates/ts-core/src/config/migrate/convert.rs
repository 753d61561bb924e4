//! Where the common keys of schema 1 go, and what is said about each that changes.

use super::{
    Note, NoteKind, emit,
    layout::Layout,
    tree::{Copier, Fate, Out, OutValue, insert, join},
};
use crate::{
    Platform,
    config::{
        model::{Algorithm, AlgorithmKind, ExperimentConfig},
        node::{Entry, Node, Value},
        reads::Reads,
        reference::KEYS,
        source::Schema,
    },
};
use std::path::Path;

/// A file that reads without a problem.
pub(super) struct File<'a> {
    pub(super) root: &'a Node,
    pub(super) text: &'a str,
    pub(super) config: &'a ExperimentConfig,
    pub(super) reads: &'a Reads,
    pub(super) platforms: &'a [Platform],
    /// From the new file's directory to the old one's, if they differ.
    pub(super) prefix: Option<&'a Path>,
}

pub(super) struct Converted {
    pub(super) text: String,
    pub(super) notes: Vec<Note>,
}

/// What is being written.
pub(super) struct Draft<'a> {
    pub(super) copier: Copier<'a>,
    pub(super) top: Vec<Out>,
    pub(super) notes: Vec<Note>,
}

impl<'a> File<'a> {
    pub(super) fn draft(&self) -> Draft<'a> {
        Draft {
            copier: Copier {
                layout: Layout::of(self.text, self.root),
                reads: self.reads,
                prefix: self.prefix,
                changes: Vec::new(),
            },
            top: Vec::new(),
            notes: Vec::new(),
        }
    }

    pub(super) fn entries(&self) -> &'a [Entry] {
        self.root.entries().unwrap_or_default()
    }

    pub(super) fn to_schema_2(&self) -> Converted {
        let mut draft = self.draft();
        let mut has_service = false;
        let mut multi_phase = None;
        for entry in self.entries() {
            match entry.key.as_str() {
                key if self.is_service(key) => {
                    if !has_service {
                        has_service = true;
                        let service = self.training_service(&mut draft);
                        draft.top.push(service);
                    }
                }
                // They are read with the members, and noted there.
                "trainingServicePlatform" | "hybridConfig" => {}
                "trial" => self.trial(entry, &mut draft),
                "tuner" => algorithm(entry, self.config.tuner.as_ref(), &mut draft),
                "assessor" => algorithm(entry, self.config.assessor.as_ref(), &mut draft),
                "advisor" => algorithm(entry, self.config.advisor.as_ref(), &mut draft),
                "multiPhase" if self.config.multi_phase => {
                    if draft.common_key(entry, &entry.key).is_some() {
                        multi_phase = Some(draft.copier.entry(entry, "multiPhase", None, &entry.key));
                    }
                }
                "multiPhase" => draft.drop_key(entry, &entry.key, "nothing is to be done: it is so without the key"),
                _ => common(entry, &mut draft),
            }
        }
        if !has_service {
            let service = self.training_service(&mut draft);
            draft.top.push(service);
        }
        if let Some(out) = multi_phase {
            insert(&mut draft.top, &["tsctl", "multiPhase"], out);
        }
        for (key, was, new) in [
            ("maxExecDuration", "999d", "maxExperimentDuration"),
            ("maxTrialNum", "99999", "maxTrialNumber"),
        ] {
            if self.root.find(Schema::V1, key).is_none() {
                draft.notes.push(Note {
                    line: 0,
                    key: key.to_owned(),
                    kind: NoteKind::Changed,
                    message: format!("without the key schema 1 has the limit {was}, schema 2 none"),
                    help: Some(format!("add `{new}` if you want one")),
                });
            }
        }
        draft.finish()
    }

    /// A file of schema 2 whose keys have their own spelling.
    pub(super) fn mended(&self) -> Converted {
        let mut draft = self.draft();
        let services: Vec<&Node> = match self.root.find(Schema::V2, "trainingService") {
            Some(Node {
                value: Value::Seq(items),
                ..
            }) => items.iter().collect(),
            Some(node) => vec![node],
            None => Vec::new(),
        };
        for entry in self.entries() {
            let Some(written) = draft.copier.fate(entry, None, &entry.key) else {
                continue;
            };
            // Members of a list are read by their own platforms; where one spelling stands for two keys, the first counts.
            let platform = services
                .iter()
                .zip(&self.config.platforms)
                .map(|(_, own)| own.platform())
                .next();
            let platform = if written.key() == "trainingService" {
                platform
            } else {
                None
            };
            let out = draft.copier.entry(entry, written.key(), platform, &entry.key);
            draft.top.push(out);
        }
        self.keep_default_directories(&mut draft);
        if draft.copier.changes.is_empty() && self.prefix.is_none() {
            return Converted {
                text: self.text.to_owned(),
                notes: Vec::new(),
            };
        }
        draft.finish()
    }

    /// What is left out means the directory of the file, which is another one now.
    fn keep_default_directories(&self, draft: &mut Draft<'_>) {
        let Some(prefix) = self.prefix else { return };
        let directory = || OutValue::Scalar(Value::String(prefix.display().to_string()));
        insert(
            &mut draft.top,
            &["trialCodeDirectory"],
            Out::new("trialCodeDirectory", directory()),
        );
        for (key, algorithm) in [
            ("tuner", &self.config.tuner),
            ("assessor", &self.config.assessor),
            ("advisor", &self.config.advisor),
        ] {
            if matches!(
                algorithm,
                Some(Algorithm {
                    kind: AlgorithmKind::Class { .. },
                    ..
                })
            ) {
                insert(
                    &mut draft.top,
                    &[key, "codeDirectory"],
                    Out::new("codeDirectory", directory()),
                );
            }
        }
    }

    /// Common keys of `trial`; those of platforms go to `trainingService`.
    fn trial(&self, entry: &Entry, draft: &mut Draft<'_>) {
        draft.lifted(entry, "the top level and `trainingService`");
        let place = (entry.line, entry.column);
        let mut above = draft.copier.layout.take_above(place);
        above.extend(draft.copier.layout.take_behind(place));
        for inner in entry.value.entries().unwrap_or_default() {
            if self.is_own_of_platform(&inner.key) {
                continue;
            }
            let full = join("trial", &inner.key);
            let Some(key) = draft.common_key(inner, &full) else {
                continue;
            };
            let mut out = draft.copier.entry(inner, &key, None, &full);
            out.above.splice(0..0, above.drain(..));
            draft.top.push(out);
        }
        draft.lose(above);
    }

    fn is_own_of_platform(&self, key: &str) -> bool {
        self.chosen().any(|platform| platform.v1_trial_keys.contains(&key))
    }
}

/// A key that keeps its place, perhaps under another name.
fn common(entry: &Entry, draft: &mut Draft<'_>) {
    if let Some(key) = draft.common_key(entry, &entry.key) {
        let out = draft.copier.entry(entry, &key, None, &entry.key);
        draft.top.push(out);
    }
}

fn algorithm(entry: &Entry, read: Option<&Algorithm>, draft: &mut Draft<'_>) {
    let place = (entry.line, entry.column);
    let mut section = Out::new(&entry.key, OutValue::Raw("null".to_owned()));
    section.above = draft.copier.layout.take_above(place);
    section.behind = draft.copier.layout.take_behind(place);
    section.below = draft.copier.layout.take_below(place);
    let (mut entries, mut gpus) = (Vec::new(), None);
    for inner in entry.value.entries().unwrap_or_default() {
        let full = join(&entry.key, &inner.key);
        match (inner.key.as_str(), read.map(|algorithm| &algorithm.kind)) {
            ("gpuIndices", _) => {
                draft
                    .copier
                    .note(inner, &full, Fate::Renamed("tunerGpuIndices".to_owned()));
                gpus = Some(draft.copier.entry(inner, "tunerGpuIndices", None, &full));
            }
            ("classFileName", _) => {
                draft.drop_key(inner, &full, "`className` names the file too, as a module");
            }
            ("className", Some(AlgorithmKind::Class { class_name, .. })) => {
                let mut out = draft.copier.entry(inner, "className", None, &full);
                out.value = OutValue::Scalar(Value::String(class_name.clone()));
                draft.notes.push(Note {
                    line: inner.line,
                    key: full,
                    kind: NoteKind::Changed,
                    message: format!("a class is named with its module: `{class_name}`"),
                    help: None,
                });
                entries.push(out);
            }
            _ => {
                if let Some(key) = draft.common_key(inner, &full) {
                    let key = key.rsplit('.').next().unwrap_or_default().to_owned();
                    entries.push(draft.copier.entry(inner, &key, None, &full));
                }
            }
        }
    }
    if entry.value.entries().is_some() {
        section.value = OutValue::Map {
            flow: draft.copier.layout.is_flow(&entry.value),
            entries,
        };
    }
    draft.top.push(section);
    draft.top.extend(gpus);
}

impl Draft<'_> {
    /// What schema 2 calls a common key; `None` if it has none. What changes is noted.
    pub(super) fn common_key(&mut self, entry: &Entry, full: &str) -> Option<String> {
        let row = KEYS.iter().find(|row| row.v1 == full);
        match row.map(|row| row.v2) {
            Some("") => {
                let is_wanted = entry.value.value == Value::Bool(true);
                let what_to_do = match entry.key.as_str() {
                    "description" => "keep it as a comment",
                    "includeIntermediateResults" if is_wanted => {
                        "keep the file in schema 1 if the tuner needs results of trials that were stopped early"
                    }
                    _ => "nothing is to be done: it has no effect",
                };
                self.drop_key(entry, full, what_to_do);
                None
            }
            Some(v2) => {
                if v2 != full {
                    self.copier.note(entry, full, Fate::Renamed(v2.to_owned()));
                }
                Some(v2.to_owned())
            }
            None => Some(entry.key.clone()),
        }
    }

    pub(super) fn drop_key(&mut self, entry: &Entry, full: &str, what_to_do: &str) {
        self.notes.push(Note {
            line: entry.line,
            key: full.to_owned(),
            kind: NoteKind::Dropped,
            message: "schema 2 has no such key".to_owned(),
            help: Some(what_to_do.to_owned()),
        });
    }

    /// Says that the keys of a section are elsewhere.
    pub(super) fn lifted(&mut self, entry: &Entry, place: &str) {
        self.notes.push(Note {
            line: entry.line,
            key: entry.key.clone(),
            kind: NoteKind::Renamed,
            message: format!("its keys are now at {place}"),
            help: None,
        });
    }

    /// Comments that no key keeps.
    pub(super) fn lose(&mut self, comments: Vec<super::layout::Comment>) {
        for comment in comments.into_iter().filter(|comment| !comment.text.is_empty()) {
            self.notes.push(Note {
                line: comment.line,
                key: String::new(),
                kind: NoteKind::Comment,
                message: format!("its key is gone, and the comment with it: {}", comment.text),
                help: None,
            });
        }
    }

    fn finish(mut self) -> Converted {
        if self.copier.layout.has_anchors {
            self.notes.push(Note {
                line: 0,
                key: String::new(),
                kind: NoteKind::Changed,
                message: "anchors and aliases are written out where they are used".to_owned(),
                help: None,
            });
        }
        for (line, _, key, fate) in std::mem::take(&mut self.copier.changes) {
            let (kind, message, help) = match fate {
                Fate::Renamed(new) => (NoteKind::Renamed, format!("is now `{new}`"), None),
                Fate::Dropped(Some(why)) => (
                    NoteKind::Dropped,
                    format!("is left out, because it has no effect: {why}"),
                    None,
                ),
                Fate::Dropped(None) => (
                    NoteKind::Dropped,
                    "schema 2 has no such key".to_owned(),
                    Some("nothing is to be done: it has no effect".to_owned()),
                ),
            };
            self.notes.push(Note {
                line,
                key,
                kind,
                message,
                help,
            });
        }
        let layout = &mut self.copier.layout;
        let (head, tail) = (std::mem::take(&mut layout.head), std::mem::take(&mut layout.tail));
        let text = emit::document(&self.top, &head, &tail);
        let left = std::mem::take(&mut self.copier.layout).left();
        self.lose(left);
        let mut notes: Vec<Note> = Vec::new();
        self.notes.sort_by_key(|note| note.line);
        for note in self.notes {
            if !notes.contains(&note) {
                notes.push(note);
            }
        }
        Converted { text, notes }
    }
}
