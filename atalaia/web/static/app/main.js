// Starts every module once; each finds its own elements and does nothing when there are none.

import * as ages from "./ages.js";
import * as chats from "./chats.js";
import * as composer from "./composer.js";
import * as keyboard from "./keyboard.js";
import * as live from "./live.js";
import * as palette from "./palette.js";
import * as parts from "./parts.js";
import * as plots from "./plots.js";
import * as theme from "./theme.js";
import * as toasts from "./toasts.js";

for (const part of [ages, toasts, parts, theme, keyboard, palette, live, plots, chats, composer]) part.start();
