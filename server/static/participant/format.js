// @ts-check
// How things are written: times, days, lists of names, and where the names stand in a text. Pure functions.

const SENDER_COLORS = 10;

/** @param {Date} date */
export function timeText(date) {
  return new Intl.DateTimeFormat(undefined, { timeStyle: "short" }).format(date);
}

/** @param {Date} date */
export function dayKey(date) {
  return `${date.getFullYear()}-${date.getMonth()}-${date.getDate()}`;
}

/**
 * "Today", "Yesterday", a weekday in the last week, else the date.
 * @param {Date} date @param {Date} today
 */
export function dayText(date, today) {
  const days = Math.round((midnight(today).getTime() - midnight(date).getTime()) / 86_400_000);
  if (days === 0 || days === 1) return capitalized(new Intl.RelativeTimeFormat(undefined, { numeric: "auto" }).format(-days, "day"));
  const options = days > 1 && days < 7 ? { weekday: "long" } : { dateStyle: "long" };
  return new Intl.DateTimeFormat(undefined, /** @type {Intl.DateTimeFormatOptions} */ (options)).format(date);
}

/** @param {Date} date */
function midnight(date) {
  return new Date(date.getFullYear(), date.getMonth(), date.getDate());
}

/** @param {string} text */
function capitalized(text) {
  return text.charAt(0).toLocaleUpperCase() + text.slice(1);
}

/** @param {number} seconds */
export function waitText(seconds) {
  return seconds < 60 ? `${seconds} s` : `${Math.ceil(seconds / 60)} min`;
}

/** @param {string[]} names who is typing */
export function typingText(names) {
  if (names.length === 0) return "";
  if (names.length === 1) return `${names[0]} is typing…`;
  if (names.length === 2) return `${names[0]}, ${names[1]} are typing…`;
  return `${names.length} people are typing…`;
}

/**
 * A member's colour: by their place in the member list, so no two of ten share one.
 * @param {string} name @param {string[]} members
 */
export function colorOf(name, members) {
  const place = members.indexOf(name);
  return `color-${(place < 0 ? members.length : place) % SENDER_COLORS}`;
}

/** @param {string} name */
export function initialOf(name) {
  return (Array.from(name.trim())[0] ?? "?").toLocaleUpperCase();
}

/**
 * Cut a text into pieces, each of which is a mention of a member or is not.
 * @param {string} content @param {string[]} members
 * @returns {{text: string, isMention: boolean}[]}
 */
export function mentionPieces(content, members) {
  if (!content.includes("@") || members.length === 0) return [{ text: content, isMention: false }];
  const names = [...members].sort((a, b) => b.length - a.length).map(escaped).join("|");
  const pattern = new RegExp(`(@(?:${names}))(?![\\p{L}\\p{N}_])`, "giu");
  return content
    .split(pattern)
    .map((text, index) => ({ text, isMention: index % 2 === 1 }))
    .filter((piece) => piece.text !== "");
}

/** With the flag `u`, escaping more than these is a syntax error. @param {string} text */
function escaped(text) {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}

const BIG_EMOJI = bigEmojiPattern();

/** Older browsers know no sequences (flags, keycaps): there, those are drawn small. */
function bigEmojiPattern() {
  try {
    return new RegExp("^(?:\\p{RGI_Emoji}\\s*){1,3}$", "v");
  } catch {
    return /^(?:\p{Emoji_Presentation}\p{Emoji_Modifier}?\s*){1,3}$/u;
  }
}

/** A text of nothing but one to three emoji is drawn large. @param {string} content */
export function isBigEmoji(content) {
  return BIG_EMOJI.test(content);
}
