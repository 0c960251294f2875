/* What the pages gain from a script. Each part works alone, and every page works without any. */

import "./keyboard.js";
import "./live.js";
import "./swaps.js";
import "./writing.js";

document.documentElement.classList.add("scripted");
