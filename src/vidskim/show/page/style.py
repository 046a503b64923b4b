"""How a page looks: one sheet of its own, light or dark as the reader has it."""

STYLE = """
:root { color-scheme: light dark; --ink: #1d2230; --soft: #626a7c; --line: #e3e6ec;
  --ground: #f6f7f9; --card: #ffffff; --curve: #2563c9; --part: #7b8aa6; --chosen: #d9591c;
  --cheap: #a2508f; --attended: #e0a800; --warn: #fff4dc; --warn-ink: #6f4a00; }
@media (prefers-color-scheme: dark) { :root { --ink: #e7eaf1; --soft: #98a1b4; --line: #2d3340;
  --ground: #14171d; --card: #1c2028; --curve: #6ea8ff; --part: #8491aa; --chosen: #ff8a4c;
  --cheap: #d68cc4; --attended: #ffd34d; --warn: #3a2f14; --warn-ink: #ffd98a; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 28px 20px 48px; }
h1 { font-size: 24px; line-height: 1.25; margin: 0 0 4px; overflow-wrap: anywhere; }
h2 { font-size: 13px; margin: 0 0 12px; color: var(--soft); font-weight: 600;
  text-transform: uppercase; letter-spacing: .06em; }
.under { color: var(--soft); margin: 0 0 20px; overflow-wrap: anywhere; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 12px;
  padding: 18px 20px; margin: 0 0 16px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(170px, 1fr)); gap: 16px;
  margin: 0 0 16px; }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: 12px;
  padding: 14px 16px; }
.tile b { display: block; font-size: 22px; line-height: 1.25; overflow-wrap: anywhere;
  font-variant-numeric: tabular-nums; }
.tile span { color: var(--soft); font-size: 13px; }
svg { display: block; width: 100%; min-width: 640px; height: auto; overflow: visible; }
.wide { overflow-x: auto; }
svg text { fill: var(--soft); font-size: 12px; }
svg .name { fill: var(--ink); }
svg .tick { stroke: var(--line); stroke-width: 1; }
svg .floor { stroke: var(--part); stroke-width: 1; opacity: .5; }
svg .line { fill: none; stroke-width: 1.6; }
svg .fill { stroke: none; opacity: .16; }
svg .main.line { stroke: var(--curve); } svg .main.fill { fill: var(--curve); }
svg .part.line { stroke: var(--part); } svg .part.fill { fill: var(--part); }
svg .chosen { fill: var(--chosen); opacity: .2; } svg .mark { fill: var(--chosen); }
svg .cheap { fill: var(--cheap); }
.attended svg .chosen, .attended svg .mark { fill: var(--attended); }
.attended svg .chosen { opacity: .35; }
svg .hole { fill: var(--line); }
.shots.attended { margin: 16px 0 0; } .attended img { border: 4px solid var(--attended); }
.attended figcaption b { color: inherit; }
.legend .scale { width: 48px; background: linear-gradient(to right, #440154, #3b528b, #21918c,
  #5ec962, #fde725); }
.legend { display: flex; flex-wrap: wrap; gap: 4px 18px; margin: 12px 0 0; font-size: 13px;
  color: var(--soft); }
.legend i { display: inline-block; width: 12px; height: 12px; border-radius: 3px;
  margin-right: 6px; vertical-align: -1px; }
.shots { display: grid; grid-template-columns: repeat(auto-fill, minmax(150px, 1fr)); gap: 14px; }
figure { margin: 0; min-width: 0; }
figure img { display: block; width: 100%; height: auto; border-radius: 8px;
  border: 2px solid var(--chosen); background: var(--line); }
.dull img { border-color: var(--line); filter: saturate(.7); }
figcaption { display: flex; justify-content: space-between; gap: 8px; font-size: 13px;
  margin-top: 4px; font-variant-numeric: tabular-nums; white-space: nowrap; }
figure.cheap img { border-color: var(--cheap); } figure.cheap b { color: var(--cheap); }
figcaption b { color: var(--chosen); } .dull figcaption b { color: var(--soft); }
.bars { display: grid; grid-template-columns: minmax(80px, max-content) 1fr max-content;
  gap: 8px 12px; align-items: center; font-variant-numeric: tabular-nums; }
.bars span:first-child, .bars .label { overflow-wrap: anywhere; }
.bar { height: 14px; border-radius: 7px; background: var(--line); overflow: hidden; }
.bar i { display: block; height: 100%; border-radius: 7px; background: var(--curve); }
.stack { display: flex; height: 18px; border-radius: 9px; overflow: hidden;
  background: var(--line); }
.stack i { display: block; height: 100%; }
.look { background: var(--chosen); } .read { background: #8e7cc3; }
.encode { background: var(--curve); } .aggregate { background: #3aa37a; }
.other { background: var(--part); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 5px 18px; margin: 0; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere;
  font-variant-numeric: tabular-nums; }
.two { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr));
  gap: 16px; }
.two section { margin: 0; } .two { margin: 0 0 16px; }
.warn { background: var(--warn); color: var(--warn-ink); border-color: transparent; }
.warn h2 { color: inherit; } .warn ul { margin: 0; padding-left: 20px; }
code { font: 13px/1.5 ui-monospace, "DejaVu Sans Mono", monospace; overflow-wrap: anywhere; }
.note { color: var(--soft); font-size: 13px; margin: 12px 0 0; }
@media print { body { background: none; } section, .tile { break-inside: avoid; } }
"""
