//! The files of the page: all there, all found, nothing inline, nothing from elsewhere, small.

use std::{collections::BTreeSet, fs, path::Path};

/// Most bytes of all files together.
const BUDGET: usize = 200_000;

fn text(path: &str) -> String {
    let asset = ts_portal::file(path).unwrap_or_else(|| panic!("no file `{path}`"));
    String::from_utf8(asset.bytes.to_vec()).unwrap()
}

fn files_in(folder: &Path, under: &str, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{under}{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            files_in(&entry.path(), &format!("{name}/"), found);
        } else {
            found.insert(name);
        }
    }
}

/// What stands between `before` and the next quotation mark, wherever it occurs.
fn quoted<'a>(text: &'a str, before: &'a str) -> impl Iterator<Item = &'a str> {
    text.match_indices(before)
        .filter_map(|(at, _)| text[at + before.len()..].split('"').next())
}

/// The path that `reference` means in a file of the folder `from`.
fn resolved(from: &str, reference: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in reference.split('/') {
        match part {
            "." => {}
            ".." => assert!(parts.pop().is_some(), "`{reference}` in `{from}` leads out"),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[test]
fn every_file_of_the_folder_is_built_in_and_sorted() {
    let mut there = BTreeSet::new();
    files_in(&Path::new(env!("CARGO_MANIFEST_DIR")).join("assets"), "", &mut there);
    let built_in: Vec<String> = ts_portal::paths().map(str::to_owned).collect();
    assert_eq!(built_in, Vec::from_iter(there));
}

#[test]
fn every_file_is_found_with_its_type_and_a_tag_of_its_own() {
    let mut tags = BTreeSet::new();
    for path in ts_portal::paths() {
        let asset = ts_portal::file(path).unwrap();
        assert_ne!(asset.content_type, "application/octet-stream", "{path}");
        assert!(asset.etag().starts_with('"') && asset.etag().ends_with('"'));
        assert!(tags.insert(asset.etag()), "{path}");
    }
    assert_eq!(ts_portal::file(""), ts_portal::file("index.html"));
    for none in [
        "/",
        "js",
        "js/",
        "../Cargo.toml",
        "js/../index.html",
        "INDEX.HTML",
        "index.html ",
    ] {
        assert_eq!(ts_portal::file(none), None, "{none}");
    }
}

#[test]
fn every_reference_leads_to_a_file_and_every_file_is_referred_to() {
    let mut referred: BTreeSet<String> = ["index.html".to_owned()].into();
    for path in ts_portal::paths() {
        let text = text(path);
        let references: Vec<&str> = match path.rsplit_once('.') {
            Some((_, "html")) => quoted(&text, " src=\"")
                .chain(quoted(&text, " href=\""))
                .filter(|reference| !reference.starts_with('#'))
                .collect(),
            Some((_, "js")) => quoted(&text, " from \"").collect(),
            _ => Vec::new(),
        };
        for reference in references {
            let target = resolved(path, reference);
            assert!(ts_portal::file(&target).is_some(), "`{path}` refers to `{reference}`");
            referred.insert(target);
        }
    }
    assert_eq!(referred, ts_portal::paths().map(str::to_owned).collect());
}

#[test]
fn modules_are_loaded_at_once() {
    let page = text("index.html");
    let first: BTreeSet<&str> = quoted(&page, "rel=\"modulepreload\" href=\"")
        .chain(["js/app.js", "js/first.js"])
        .collect();
    let all: BTreeSet<&str> = ts_portal::paths().filter(|path| path.starts_with("js/")).collect();
    assert_eq!(first, all);
}

#[test]
fn nothing_is_inline() {
    let page = text("index.html").to_lowercase();
    for script in page.split("<script").skip(1) {
        let (attributes, content) = script.split_once('>').unwrap();
        assert!(attributes.contains("src="), "{attributes}");
        assert!(content.starts_with("</script>"), "{content}");
    }
    assert!(!page.contains("<style") && !page.contains(" style=") && !page.contains("javascript:"));
    let events = page.match_indices(" on").filter(|(at, _)| {
        let word = page[at + 1..]
            .split(|c: char| !c.is_ascii_alphabetic())
            .next()
            .unwrap_or_default();
        page[at + 1 + word.len()..].starts_with('=')
    });
    assert_eq!(events.count(), 0);
}

#[test]
fn the_policy_lets_nothing_inline_and_nothing_from_elsewhere() {
    let policy = ts_portal::CONTENT_SECURITY_POLICY;
    assert!(policy.starts_with("default-src 'self';"), "{policy}");
    for bad in ["unsafe", "*", "http", "data:", "blob:"] {
        assert!(!policy.contains(bad), "{policy}");
    }
}

#[test]
fn text_never_becomes_markup_or_code() {
    let ways = [
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "createContextualFragment",
        "DOMParser",
        "setHTML",
        "eval(",
        "new Function",
        "srcdoc",
        "setAttribute(\"style\"",
    ];
    for path in ts_portal::paths().filter(|path| path.starts_with("js/")) {
        let text = text(path);
        for way in ways {
            assert!(!text.contains(way), "`{path}` has `{way}`");
        }
    }
}

#[test]
fn nothing_names_another_host() {
    for path in ts_portal::paths() {
        let text = text(path).replace("http://www.w3.org/2000/svg", "");
        assert!(!text.contains("http://") && !text.contains("https://"), "{path}");
    }
}

#[test]
fn all_together_are_small() {
    let size: usize = ts_portal::paths()
        .map(|path| ts_portal::file(path).unwrap().bytes.len())
        .sum();
    assert!(size < BUDGET, "{size} bytes");
}
