//! The files, in the order of their paths. A test sees to it that all that are in the folder are here.

/// The page itself.
pub(crate) const PAGE: &str = "index.html";

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        /// Path and content.
        pub(crate) const FILES: &[(&str, &[u8])] = &[$(($name, include_bytes!(concat!("../assets/", $name)))),*];
    };
}

files![
    "favicon.svg",
    "index.html",
    "js/actions.js",
    "js/api.js",
    "js/app.js",
    "js/axes.js",
    "js/chart/lines.js",
    "js/chart/marks.js",
    "js/chart/parallel.js",
    "js/chart/plot.js",
    "js/chart/scale.js",
    "js/detail.js",
    "js/dialog.js",
    "js/dom.js",
    "js/events.js",
    "js/filter.js",
    "js/first.js",
    "js/format.js",
    "js/live.js",
    "js/logs.js",
    "js/parameters.js",
    "js/pieces.js",
    "js/store.js",
    "js/summary.js",
    "js/table.js",
    "js/view/charts.js",
    "js/view/curves.js",
    "js/view/experiment.js",
    "js/view/parallel.js",
    "js/view/trials.js",
    "style.css",
];
