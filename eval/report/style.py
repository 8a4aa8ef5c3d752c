"""The look of the page: for wide screens and narrow ones, dark and light, and paper."""

STYLE = """
:root {
  color-scheme: light dark;
  --ink: #1b1f24; --soft: #59636e; --paper: #ffffff; --line: #d5dae0; --band: #f4f6f8;
  --accent: #0b5cad; --warn: #8a4b00; --warn-paper: #fff4e0;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ink: #e6e9ed; --soft: #a3adb8; --paper: #15181c; --line: #363d45; --band: #1e2329;
    --accent: #7fb8f5; --warn: #ffc677; --warn-paper: #33260f;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
body {
  margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 76rem;
  color: var(--ink); background: var(--paper);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", Arial, sans-serif;
  overflow-wrap: anywhere;
}
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0 0 .25rem; }
h2 { font-size: 1.3rem; margin: 2.75rem 0 .75rem; padding-top: .75rem;
  border-top: 1px solid var(--line); }
h3 { font-size: 1.05rem; margin: 1.75rem 0 .5rem; }
p, ul { max-width: 46rem; margin: .6rem 0; }
ul { padding-left: 1.25rem; }
li { margin: .2rem 0; }
a { color: var(--accent); }
.made, .note, figcaption, caption { color: var(--soft); font-size: .875rem; }
.summary { font-size: 1.05rem; }
.missing { color: var(--soft); }
.warning { color: var(--warn); background: var(--warn-paper); border-left: 4px solid currentColor;
  padding: .5rem .75rem; max-width: 46rem; }
ul.warning { padding-left: 1.75rem; }
nav ul { list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: .25rem 1rem;
  max-width: none; }
code { font: .875em/1.4 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
  background: var(--band); padding: .1em .3em; border-radius: 3px; }
.wide { overflow-x: auto; margin: .75rem 0 1rem; max-width: 100%; }
table { border-collapse: collapse; font-size: .9rem; }
caption { text-align: left; padding-bottom: .4rem; min-width: 15rem; }
th, td { padding: .35rem .75rem; border-bottom: 1px solid var(--line); text-align: left;
  vertical-align: top; overflow-wrap: normal; }
td { max-width: 28rem; }
th { font-weight: 600; }
tbody th { font-weight: 400; min-width: 8rem; }
thead th { border-bottom: 2px solid var(--line); vertical-align: bottom; }
tbody tr:hover { background: var(--band); }
table.numbers td, table.numbers thead th:not(:first-child) { text-align: right;
  font-variant-numeric: tabular-nums; }
table.numbers td { white-space: nowrap; }
thead th:not(:first-child) { min-width: 4.5rem; max-width: 12rem; overflow-wrap: anywhere; }
td small { display: block; color: var(--soft); }
tr.group th { font-weight: 600; background: var(--band); }
td .path { overflow-wrap: anywhere; }
figure { margin: 1rem 0; }
img { display: block; max-width: 100%; height: auto; background: #ffffff; border-radius: 4px;
  border: 1px solid var(--line); }
section > figure:not(.whole) img { max-width: min(100%, 42rem); }
figcaption { margin-top: .35rem; max-width: 46rem; }
.pair { display: grid; gap: 0 1.25rem; align-items: start;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); }
@media (max-width: 30rem) {
  body { padding: 1rem .75rem 3rem; font-size: 15px; }
  h1 { font-size: 1.4rem; }
  th, td { padding: .3rem .5rem; }
  tbody th { position: sticky; left: 0; background: var(--paper); max-width: 9.5rem;
    min-width: 7rem; }
}
@media print {
  :root { --ink: #000; --soft: #444; --paper: #fff; --line: #bbb; --band: #f2f2f2;
    --accent: #000; --warn: #000; --warn-paper: #fff; }
  body { max-width: none; font-size: 10pt; padding: 0; }
  nav { display: none; }
  .wide { overflow: visible; }
  table.numbers td { white-space: normal; }
  figure, tr { break-inside: avoid; }
  h2, h3 { break-after: avoid; }
}
"""

#: Nothing is loaded and nothing runs, whatever stands in the page.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"

#: $-names are filled with HTML that is escaped already.
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="$policy">
<title>$title</title>
<style>$style</style>
</head>
<body>
<header>
<h1>$title</h1>
<p class="made">$made</p>
</header>
<nav aria-label="Contents">$contents</nav>
<main>
$sections
</main>
</body>
</html>
"""
