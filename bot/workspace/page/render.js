// Slack's markup and Block Kit as DOM nodes. Every text goes through textContent: nothing that a device or a
// person wrote can become markup of this page.
'use strict';

const Render = (() => {
  const el = (tag, attrs, ...kids) => {
    const n = document.createElement(tag);
    for (const [k, v] of Object.entries(attrs || {})) {
      if (v === undefined || v === null || v === false) continue;
      if (k === 'class') n.className = v;
      else if (k === 'text') n.textContent = v;
      else n.setAttribute(k, v === true ? '' : v);
    }
    for (const kid of kids.flat()) if (kid !== null && kid !== undefined) n.append(kid);
    return n;
  };
  const decode = (s) => s.replace(/&(amp|lt|gt);/g, (_, e) => ({amp: '&', lt: '<', gt: '>'})[e]);

  // ---- emoji: those that a network bot uses are drawn, so that they look alike everywhere ----
  const disc = (c) => `<circle cx="10" cy="10" r="8" fill="${c}"/>`;
  const square = (c, d) => `<rect x="1.5" y="1.5" width="17" height="17" rx="4" fill="${c}"/><path d="${d}" fill="none" stroke="#fff" stroke-width="2.4" stroke-linecap="round" stroke-linejoin="round"/>`;
  const line = (c, d) => `<path d="${d}" fill="none" stroke="${c}" stroke-width="2" stroke-linecap="round" stroke-linejoin="round"/>`;
  const drawn = {
    large_green_circle: disc('#2eb67d'), red_circle: disc('#e01e5a'), large_red_circle: disc('#e01e5a'), large_yellow_circle: disc('#ecb22e'),
    large_orange_circle: disc('#e8912d'), large_blue_circle: disc('#36a0e0'), large_purple_circle: disc('#9b6dd7'), large_brown_circle: disc('#8d6748'),
    white_circle: '<circle cx="10" cy="10" r="7.2" fill="#fff" stroke="#a3a9b0" stroke-width="1.6"/>', black_circle: disc('#3b3f45'),
    white_check_mark: square('#2eb67d', 'M5.5 10.5l3 3 6-7'), heavy_check_mark: line('#2eb67d', 'M3.5 11l4.5 4.5L16.5 5'), ballot_box_with_check: square('#36a0e0', 'M5.5 10.5l3 3 6-7'),
    x: line('#e01e5a', 'M4.5 4.5l11 11M15.5 4.5l-11 11'), negative_squared_cross_mark: square('#e01e5a', 'M6 6l8 8M14 6l-8 8'),
    warning: '<path d="M10 1.8L19 17.6H1z" fill="#ecb22e"/><path d="M10 7v5M10 14.7v.1" stroke="#3b3105" stroke-width="2" stroke-linecap="round"/>',
    rotating_light: '<path d="M5 14V9.5a5 5 0 0110 0V14z" fill="#e01e5a"/><rect x="3" y="14" width="14" height="3.4" rx="1.2" fill="#4b5563"/><path d="M10 .8v2M3.2 3.4l1.4 1.4M16.8 3.4l-1.4 1.4" stroke="#e01e5a" stroke-width="1.6" stroke-linecap="round"/>',
    information_source: square('#36a0e0', 'M10 9.5v5M10 5.8v.1'), bulb: '<path d="M10 1.8a5.6 5.6 0 00-3.3 10.1c.7.6 1.1 1.2 1.1 2.1h4.4c0-.9.4-1.5 1.1-2.1A5.6 5.6 0 0010 1.8z" fill="#f4c542"/><path d="M8 16h4M8.6 18h2.8" stroke="#6b7280" stroke-width="1.6" stroke-linecap="round"/>',
    hourglass_flowing_sand: '<path d="M5 2.5h10M5 17.5h10" stroke="#8a6d3b" stroke-width="2" stroke-linecap="round"/><path d="M6 3.5c0 4 3 4.5 3.4 6.5C9 12 6 12.5 6 16.5h8c0-4-3-4.5-3.4-6.5.4-2 3.4-2.5 3.4-6.5z" fill="#fdf3d7" stroke="#c9a254" stroke-width="1.2"/><path d="M7.3 6h5.4L10 9.4zM7 16c.4-2 1.6-2.6 3-3.6 1.4 1 2.6 1.6 3 3.6z" fill="#e0a93a"/>',
    no_entry: disc('#e01e5a') + '<rect x="5" y="8.6" width="10" height="2.8" rx="1" fill="#fff"/>', no_entry_sign: '<circle cx="10" cy="10" r="7" fill="none" stroke="#e01e5a" stroke-width="2.4"/>' + line('#e01e5a', 'M5.2 5.2l9.6 9.6'),
    lock: '<rect x="4" y="9" width="12" height="8.5" rx="1.8" fill="#e0a93a"/>' + line('#6b7280', 'M6.5 9V6.5a3.5 3.5 0 017 0V9'), key: line('#c9921e', 'M11 9l6-6M14.5 5.5l2 2M12.5 7.5l1.5 1.5') + '<circle cx="7.5" cy="12.5" r="4" fill="none" stroke="#c9921e" stroke-width="2.2"/>',
    mag: '<circle cx="8.5" cy="8.5" r="5.3" fill="#dcecf7" stroke="#4b5563" stroke-width="2"/>' + line('#4b5563', 'M12.6 12.6l5 5'),
    gear: '<circle cx="10" cy="10" r="5" fill="none" stroke="#6b7280" stroke-width="3"/>' + line('#6b7280', 'M10 1.5v3M10 15.5v3M1.5 10h3M15.5 10h3M4 4l2 2M14 14l2 2M16 4l-2 2M6 14l-2 2'),
    wrench: line('#6b7280', 'M4 16l7-7M11 9a4 4 0 015-5l-2.5 2.5 1 1L17 5a4 4 0 01-5 5'), hammer_and_wrench: line('#6b7280', 'M4 16l7-7M11 9a4 4 0 015-5l-2.5 2.5 1 1L17 5a4 4 0 01-5 5'),
    arrows_counterclockwise: line('#36a0e0', 'M16 8a6.3 6.3 0 00-11.4-2M4 12a6.3 6.3 0 0011.4 2M4.2 2.5V6h3.5M15.8 17.5V14h-3.5'), repeat: line('#36a0e0', 'M16 8a6.3 6.3 0 00-11.4-2M4 12a6.3 6.3 0 0011.4 2M4.2 2.5V6h3.5M15.8 17.5V14h-3.5'),
    bell: '<path d="M10 2.5a5 5 0 015 5c0 4 1.6 5.5 1.6 6.5H3.4c0-1 1.6-2.5 1.6-6.5a5 5 0 015-5z" fill="#f4c542"/><circle cx="10" cy="16.2" r="1.8" fill="#c9921e"/>', no_bell: '<path d="M10 2.5a5 5 0 015 5c0 4 1.6 5.5 1.6 6.5H3.4c0-1 1.6-2.5 1.6-6.5a5 5 0 015-5z" fill="#cbd0d6"/>' + line('#e01e5a', 'M3 3l14 14'), mute: line('#6b7280', 'M3 8v4h3l4 4V4L6 8zM13 8l4 4M17 8l-4 4'),
    double_vertical_bar: square('#36a0e0', 'M7.5 6v8M12.5 6v8'), pause_button: square('#36a0e0', 'M7.5 6v8M12.5 6v8'), arrow_forward: square('#36a0e0', 'M8 6l6 4-6 4z'), black_square_for_stop: square('#6b7280', 'M7 7h6v6H7z'),
    stopwatch: '<circle cx="10" cy="11.5" r="6.5" fill="#fff" stroke="#6b7280" stroke-width="1.8"/>' + line('#e01e5a', 'M10 11.5V7.5') + line('#6b7280', 'M8.5 2h3M10 2v3'), clock: '<circle cx="10" cy="10" r="7.3" fill="#fff" stroke="#6b7280" stroke-width="1.8"/>' + line('#374151', 'M10 5.5V10l3 2'),
    arrow_right: line('#4b5563', 'M3 10h13M11 5l5 5-5 5'), arrow_up: line('#2eb67d', 'M10 17V4M5 9l5-5 5 5'), arrow_down: line('#e01e5a', 'M10 3v13M5 11l5 5 5-5'), question: line('#e01e5a', 'M7 7a3 3 0 116 0c0 2.5-3 2.5-3 5M10 16v.1'), grey_question: line('#9ca3af', 'M7 7a3 3 0 116 0c0 2.5-3 2.5-3 5M10 16v.1'), exclamation: line('#e01e5a', 'M10 3.5V12M10 16v.1'),
    eyes: '<ellipse cx="6" cy="10" rx="3.6" ry="5.5" fill="#fff" stroke="#6b7280" stroke-width="1.4"/><ellipse cx="14" cy="10" rx="3.6" ry="5.5" fill="#fff" stroke="#6b7280" stroke-width="1.4"/><circle cx="5" cy="11" r="1.8" fill="#374151"/><circle cx="13" cy="11" r="1.8" fill="#374151"/>',
    chart_with_upwards_trend: line('#36a0e0', 'M3 3v14h14M6 13l3.5-4 3 2L17 5'), page_facing_up: '<path d="M5 2h7l4 4v12H5z" fill="#fff" stroke="#9ca3af" stroke-width="1.5"/>' + line('#9ca3af', 'M8 9h5M8 12h5M8 15h3'), memo: '<path d="M5 2h7l4 4v12H5z" fill="#fff" stroke="#9ca3af" stroke-width="1.5"/>' + line('#e8912d', 'M8 14l5-6'), paperclip: line('#6b7280', 'M14 6l-6.5 6.5a2 2 0 003 3L16 10a4 4 0 00-6-5.5L5 10'),
    shield: '<path d="M10 1.8l7 2.6V10c0 4.3-2.9 7-7 8.4C5.9 17 3 14.3 3 10V4.4z" fill="#36a0e0"/>', zap: '<path d="M11.5 1L3.5 11.5H9L7.5 19l9-11H11z" fill="#f4c542" stroke="#c9921e" stroke-width=".8"/>', thumbsup: '<path d="M3 9h3v8H3zM7 9l3-6.5c1.5 0 2.2 1 1.8 2.5L11.3 8H16c1.2 0 1.8 1 1.5 2l-1.6 5.5c-.3 1-1 1.5-2 1.5H7z" fill="#f4c542" stroke="#c9921e" stroke-width=".8"/>', satellite_antenna: line('#6b7280', 'M4 7a8 8 0 009 9M6 12l6-6M12 6l3-3M6 12c-1 3-2 5-2 6h7'), electric_plug: line('#6b7280', 'M7 3v5M13 3v5M5 8h10v2a5 5 0 01-10 0zM10 15v4'), globe_with_meridians: '<circle cx="10" cy="10" r="7.5" fill="#dcecf7" stroke="#36a0e0" stroke-width="1.5"/>' + line('#36a0e0', 'M2.5 10h15M10 2.5c3.5 4 3.5 11 0 15M10 2.5c-3.5 4-3.5 11 0 15'), mailbox: line('#6b7280', 'M3 6h14v9H3zM3 6l7 5 7-5'), inbox_tray: line('#6b7280', 'M3 12v5h14v-5M10 3v9M6.5 8.5L10 12l3.5-3.5'), speech_balloon: '<path d="M3 4h14v10H9l-4 3.5V14H3z" fill="#fff" stroke="#9ca3af" stroke-width="1.5"/>', broom: line('#c9921e', 'M15 3L9 10M6 10l5 4-3 4-5-4z'), fire: '<path d="M10 1.5c1 3.5 5 5 5 10a5 5 0 01-10 0c0-2 1-3.2 2-4 .2 1.5.9 2.2 1.6 2.5C8.2 7 8.6 4 10 1.5z" fill="#e8912d"/>', construction: line('#e8912d', 'M3 8h14v4H3zM5 12v5M15 12v5M6 12l4-4M11 12l4-4'),
  };
  const same = {'+1': 'thumbsup', hourglass: 'hourglass_flowing_sand', alarm_clock: 'clock', clock1: 'clock', clock3: 'clock', clock9: 'clock', timer_clock: 'stopwatch', mag_right: 'mag', closed_lock_with_key: 'lock', heavy_multiplication_x: 'x', octagonal_sign: 'no_entry', stop_sign: 'no_entry', counterclockwise: 'arrows_counterclockwise', arrows_clockwise: 'arrows_counterclockwise', loudspeaker: 'bell', green_circle: 'large_green_circle', yellow_circle: 'large_yellow_circle', orange_circle: 'large_orange_circle', blue_circle: 'large_blue_circle', tools: 'wrench', link: 'paperclip', bar_chart: 'chart_with_upwards_trend', raised_hand: 'no_entry'};
  const unicode = {'🟢': 'large_green_circle', '🔴': 'red_circle', '🟡': 'large_yellow_circle', '🟠': 'large_orange_circle', '🔵': 'large_blue_circle', '⚪': 'white_circle', '⚫': 'black_circle', '✅': 'white_check_mark', '❌': 'x', '⚠️': 'warning', '⚠': 'warning', '🚨': 'rotating_light', '💡': 'bulb', '⏳': 'hourglass_flowing_sand', '⌛': 'hourglass_flowing_sand', '⛔': 'no_entry', '🚫': 'no_entry_sign', '🔒': 'lock', '🔑': 'key', '🔍': 'mag', '⚙️': 'gear', '🔧': 'wrench', '🔄': 'arrows_counterclockwise', '🔔': 'bell', '🔕': 'no_bell', '⏸️': 'pause_button', '⏱️': 'stopwatch', '👀': 'eyes', '📈': 'chart_with_upwards_trend', '📄': 'page_facing_up', '📎': 'paperclip', '🛡️': 'shield', '⚡': 'zap', '👍': 'thumbsup', '🔌': 'electric_plug', '🌐': 'globe_with_meridians', '🔥': 'fire', 'ℹ️': 'information_source', '❓': 'question', '❗': 'exclamation'};
  const others = {rocket: '🚀', tada: '🎉', wave: '👋', ok_hand: '👌', thumbsdown: '👎', robot_face: '🤖', calendar: '📅', pray: '🙏', skull: '💀', sleeping: '😴', zzz: '💤', package: '📦', label: '🏷', pushpin: '📌', round_pushpin: '📍', email: '✉', telephone_receiver: '📞', one: '1⃣', two: '2⃣', three: '3⃣', large_green_square: '🟩', large_red_square: '🟥', large_yellow_square: '🟨', small_blue_diamond: '🔹', small_orange_diamond: '🔸', ledger: '📒', books: '📚', scroll: '📜', thinking_face: '🤔'};
  function emoji(name) {
    const key = Object.hasOwn(drawn, name) ? name : Object.hasOwn(same, name) ? same[name] : '';
    if (!key) return Object.hasOwn(others, name) ? el('span', {class: 'emoji', role: 'img', 'aria-label': name, text: others[name]}) : null;
    const s = new DOMParser().parseFromString(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 20 20">${drawn[key]}</svg>`, 'image/svg+xml').documentElement; // our own constant
    s.setAttribute('class', 'emoji'); s.setAttribute('role', 'img'); s.setAttribute('aria-label', name.replaceAll('_', ' '));
    return s;
  }
  const uni = new RegExp(Object.keys(unicode).sort((a, b) => b.length - a.length).join('|'), 'g');
  function chars(s) { // text with emoji characters drawn
    const out = document.createDocumentFragment();
    let at = 0;
    for (const m of s.matchAll(uni)) { out.append(s.slice(at, m.index), emoji(unicode[m[0]])); at = m.index + m[0].length; }
    out.append(s.slice(at));
    return out;
  }

  // ---- who and where ----
  let dir = {users: new Map(), channels: new Map(), groups: {}, me: ''};
  const mention = (label, mine, id) => el('span', {class: 'mention' + (mine ? ' mine' : ''), 'data-user': id, text: '@' + label});
  const safeURL = (u) => /^(https?:\/\/|mailto:)/i.test(u);
  const anchor = (u, label) => {
    const a = el('a', {href: u, target: '_blank', rel: 'noopener noreferrer nofollow', text: label ? decode(label) : u});
    const own = /^\/archives\/([A-Z0-9]+)\/p(\d+)(\d{6})(?:\?thread_ts=([\d.]+))?/.exec(u.startsWith(location.origin) ? u.slice(location.origin.length) : '');
    if (own) a.addEventListener('click', (e) => { e.preventDefault(); dir.jump(own[1], own[2] + '.' + own[3], own[4]); });
    return a;
  };
  const when = (t, format) => {
    const d = new Date(t * 1000), day = d.toLocaleDateString(undefined, {year: 'numeric', month: 'short', day: 'numeric'});
    const time = d.toLocaleTimeString(undefined, {hour: '2-digit', minute: '2-digit'}), secs = d.toLocaleTimeString(undefined, {hour: '2-digit', minute: '2-digit', second: '2-digit'});
    return format.replace(/\{(\w+)\}/g, (all, k) => ({date_num: d.toISOString().slice(0, 10), date: day, date_short: day, date_long: d.toLocaleDateString(undefined, {weekday: 'long', year: 'numeric', month: 'long', day: 'numeric'}), date_pretty: day, date_short_pretty: day, date_long_pretty: day, time, time_secs: secs, ago: ago(t)})[k] ?? all);
  };
  const ago = (t) => { const s = Math.max(0, Date.now() / 1000 - t); return s < 90 ? 'a minute ago' : s < 5400 ? Math.round(s / 60) + ' minutes ago' : s < 129600 ? Math.round(s / 3600) + ' hours ago' : Math.round(s / 86400) + ' days ago'; };

  function entity(body) { // what stands between < and >
    const bar = body.indexOf('|'), head = bar < 0 ? body : body.slice(0, bar), label = bar < 0 ? '' : decode(body.slice(bar + 1));
    let m;
    if ((m = /^@([UW][A-Z0-9]+)$/.exec(head))) return mention(dir.users.get(m[1])?.real || label || m[1], m[1] === dir.me, m[1]);
    if ((m = /^#(C[A-Z0-9]+)$/.exec(head))) return el('span', {class: 'mention', text: '#' + (dir.channels.get(m[1])?.name || label || m[1])});
    if ((m = /^!(here|channel|everyone)$/.exec(head))) return mention(m[1], true);
    if ((m = /^!subteam\^(S[A-Z0-9]+)$/.exec(head))) return mention(dir.groups?.[m[1]] || label || m[1], true);
    if ((m = /^!date\^(\d+)\^([^^]*)(?:\^(.*))?$/.exec(head))) {
      const t = el('time', {datetime: new Date(m[1] * 1000).toISOString(), title: label, text: when(Number(m[1]), decode(m[2]))});
      if (m[3] && safeURL(m[3])) { const a = anchor(decode(m[3]), ' '); a.replaceChildren(t); return a; }
      return t;
    }
    if (safeURL(head)) return anchor(decode(head), label);
    return null;
  }

  const word = (c) => c !== undefined && c !== '' && /[\p{L}\p{N}]/u.test(c);
  const token = /`([^`\n]+)`|<([^<>\n]+)>|\*([^*\n]+)\*|_([^_\n]+)_|~([^~\n]+)~|:([a-z0-9_+'-]+):|(https?:\/\/[^\s<>|`]+[^\s<>|`.,;:!?)\]}])/g;
  function inline(s, verbatim) {
    const out = document.createDocumentFragment();
    const re = new RegExp(token.source, 'g');
    let at = 0, m;
    const flush = (to) => { if (to > at) out.append(chars(decode(s.slice(at, to)))); };
    while ((m = re.exec(s))) {
      const end = m.index + m[0].length;
      let node = null;
      if (m[1] !== undefined) node = el('code', {}, codeText(m[1]));
      else if (m[2] !== undefined) node = entity(m[2]);
      else if (m[6] !== undefined) node = emoji(m[6]);
      else if (m[7] !== undefined) node = verbatim ? null : anchor(decode(m[7]));
      else {
        const body = m[3] ?? m[4] ?? m[5], tag = m[3] !== undefined ? 'b' : m[4] !== undefined ? 'i' : 's';
        if (!word(s[m.index - 1]) && !word(s[end]) && body.trim() === body) node = el(tag, {}, inline(body, verbatim));
      }
      if (!node) { re.lastIndex = m.index + 1; continue; }
      flush(m.index);
      out.append(node);
      at = end;
    }
    flush(s.length);
    return out;
  }
  function codeText(s) { // in code only <…> entities are resolved
    const out = document.createDocumentFragment();
    let at = 0;
    for (const m of s.matchAll(/<([^<>\n]+)>/g)) {
      const node = entity(m[1]);
      if (!node) continue;
      out.append(decode(s.slice(at, m.index)), node);
      at = m.index + m[0].length;
    }
    out.append(decode(s.slice(at)));
    return out;
  }
  function mrkdwn(s, verbatim) {
    const out = el('div', {class: 'mrkdwn', dir: 'auto'});
    String(s ?? '').split(/```([\s\S]*?)```/).forEach((part, i) => {
      if (i % 2) { out.append(el('pre', {tabindex: '0'}, codeText(part.replace(/^\n/, '').replace(/\n$/, '')))); return; }
      if (part === '' || (part === '\n')) return;
      let quote = null, first = true;
      for (const raw of part.replace(/^\n|\n$/g, '').split('\n')) {
        const q = /^(?:&gt;|>) ?(.*)$/.exec(raw);
        const li = /^(\s*)(•|◦|▪|‣|\d+\.) +(.*)$/.exec(q ? q[1] : raw);
        if (q && !quote) { quote = el('blockquote'); out.append(quote); }
        if (!q) quote = null;
        const into = quote || out;
        if (li) into.append(el('div', {class: 'li', 'data-indent': Math.min(4, li[1].length >> 1)}, el('span', {class: 'bullet', text: li[2]}), el('span', {}, inline(li[3], verbatim))));
        else into.append(el('div', {class: (q ? q[1] : raw).trim() === '' ? 'gap' : 'line'}, inline(q ? q[1] : raw, verbatim)));
        first = false;
      }
    });
    return out;
  }
  function plain(t) {
    const out = el('span', {class: 'plain', dir: 'auto'});
    const s = decode(String(t.text ?? ''));
    if (t.emoji === false) { out.append(chars(s)); return out; }
    let at = 0;
    for (const m of s.matchAll(/:([a-z0-9_+'-]+):/g)) {
      const e = emoji(m[1]);
      if (!e) continue;
      out.append(chars(s.slice(at, m.index)), e);
      at = m.index + m[0].length;
    }
    out.append(chars(s.slice(at)));
    return out;
  }
  const text = (t) => !t ? null : t.type === 'mrkdwn' ? mrkdwn(t.text, t.verbatim) : plain(t);

  // ---- rich text ----
  function rich(e) {
    const style = e.style || {};
    let n;
    switch (e.type) {
      case 'text': n = el('span', {}, chars(e.text)); break;
      case 'link': n = safeURL(e.url) ? anchor(e.url, e.text) : el('span', {text: e.text || e.url}); break;
      case 'user': n = mention(dir.users.get(e.user_id)?.real || e.user_id, e.user_id === dir.me, e.user_id); break;
      case 'usergroup': n = mention(dir.groups?.[e.usergroup_id] || e.usergroup_id, true); break;
      case 'channel': n = el('span', {class: 'mention', text: '#' + (dir.channels.get(e.channel_id)?.name || e.channel_id)}); break;
      case 'broadcast': n = mention(e.range, true); break;
      case 'emoji': n = emoji(e.name) || el('span', {text: ':' + e.name + ':'}); break;
      case 'date': n = el('time', {text: when(Number(e.timestamp), e.format)}); break;
      case 'color': n = el('code', {text: e.value}); break;
      default: n = el('span');
    }
    for (const [k, tag] of [['code', 'code'], ['strike', 's'], ['italic', 'i'], ['bold', 'b']]) if (style[k]) n = el(tag, {}, n);
    return n;
  }
  function richBlock(e) {
    switch (e.type) {
      case 'rich_text_section': return el('div', {class: 'rich', dir: 'auto'}, e.elements.map(rich));
      case 'rich_text_preformatted': return el('pre', {tabindex: '0'}, e.elements.map(rich));
      case 'rich_text_quote': return el('blockquote', {class: 'rich'}, e.elements.map(rich));
      case 'rich_text_list': return el(e.style === 'ordered' ? 'ol' : 'ul', {class: 'rlist', 'data-indent': e.indent || 0, start: e.offset ? e.offset + 1 : null}, e.elements.map((x) => el('li', {}, richBlock(x))));
    }
    return null;
  }
  function table(b) {
    const align = (i) => b.column_settings?.[i]?.align || 'left';
    const cell = (c, i, head) => el(head ? 'th' : 'td', {class: align(i) + (b.column_settings?.[i]?.is_wrapped ? ' wrapped' : ''), scope: head ? 'col' : null},
      c.type === 'rich_text' ? c.elements.map(richBlock) : c.type === 'raw_number' ? (c.text || String(c.value)) : chars(c.text));
    const [head, ...rows] = b.rows;
    return el('div', {class: 'table', tabindex: '0'}, el('table', {}, el('thead', {}, el('tr', {}, head.map((c, i) => cell(c, i, true)))), el('tbody', {}, rows.map((r) => el('tr', {}, r.map((c, i) => cell(c, i)))))));
  }

  // ---- elements; act(block, element, value, label) is called when one is used ----
  const options = (e) => [...(e.options || []), ...(e.option_groups || []).flatMap((g) => g.options)];
  function element(b, e, act, form) {
    const ids = {'data-action-id': e.action_id, 'data-block-id': b.block_id};
    const pick = (n) => { if (!form) n.addEventListener('change', () => act(b, e, n.value)); return n; };
    switch (e.type) {
      case 'button': {
        const n = el('button', {type: 'button', class: 'btn ' + (e.style || ''), ...ids, 'data-value': e.value, 'aria-label': e.accessibility_label, 'data-testid': 'action'}, plain(e.text));
        if (e.url) { n.append(el('span', {class: 'ext', 'aria-hidden': 'true', text: ' ↗'})); }
        n.addEventListener('click', () => { if (e.url && safeURL(e.url)) window.open(e.url, '_blank', 'noopener,noreferrer'); act(b, e, '', n); });
        return n;
      }
      case 'image': return picture(e, 'thumb');
      case 'static_select': case 'users_select': case 'radio_buttons': case 'channels_select': case 'conversations_select': {
        let opts = options(e).map((o) => [o.value, o.text.text + (o.description ? ' — ' + o.description.text : '')]);
        if (e.type === 'users_select') opts = [...dir.users.values()].filter((u) => !u.bot && !u.deleted).map((u) => [u.id, u.real]);
        if (e.type === 'channels_select' || e.type === 'conversations_select') opts = [...dir.channels.values()].filter((c) => !c.direct).map((c) => [c.id, '#' + c.name]);
        const first = e.initial_option?.value || e.initial_user || e.initial_channel || e.initial_conversation || '';
        if (e.type === 'radio_buttons') return el('div', {class: 'choices', role: 'radiogroup', ...ids}, opts.map(([v, t]) => {
          const i = el('input', {type: 'radio', name: (b.block_id || '') + e.action_id, value: v, checked: v === first, ...ids});
          if (!form) i.addEventListener('change', () => act(b, e, v));
          return el('label', {}, i, t);
        }));
        const n = el('select', {class: 'select', ...ids, 'aria-label': e.placeholder?.text || 'Choose'}, el('option', {value: '', text: e.placeholder?.text || 'Choose an option'}), opts.map(([v, t]) => el('option', {value: v, text: t, selected: v === first})));
        return pick(n);
      }
      case 'multi_static_select': case 'multi_users_select': case 'checkboxes': {
        const opts = e.type === 'multi_users_select' ? [...dir.users.values()].filter((u) => !u.bot).map((u) => [u.id, el('span', {text: u.real})]) : options(e).map((o) => [o.value, text(o.text)]);
        const on = new Set((e.initial_options || []).map((o) => o.value).concat(e.initial_users || []));
        const box = el('div', {class: 'choices', ...ids, 'data-many': true});
        for (const [v, t] of opts) {
          const i = el('input', {type: 'checkbox', value: v, checked: on.has(v)});
          if (!form) i.addEventListener('change', () => act(b, e, [...box.querySelectorAll('input:checked')].map((x) => x.value).join('\n')));
          box.append(el('label', {}, i, t));
        }
        return box;
      }
      case 'overflow': {
        const n = el('details', {class: 'overflow'}, el('summary', {class: 'btn', 'aria-label': 'More', text: '⋯'}));
        n.append(el('div', {class: 'menu'}, e.options.map((o) => {
          const i = el('button', {type: 'button', ...ids, 'data-value': o.value}, plain(o.text));
          i.addEventListener('click', () => { n.open = false; act(b, e, o.value, i); });
          return i;
        })));
        return n;
      }
      case 'datepicker': return pick(el('input', {type: 'date', class: 'select', value: e.initial_date, ...ids, 'aria-label': e.placeholder?.text || 'Date'}));
      case 'timepicker': return pick(el('input', {type: 'time', class: 'select', value: e.initial_time, ...ids, 'aria-label': e.placeholder?.text || 'Time'}));
      case 'number_input': return el('input', {type: 'number', class: 'entry', value: e.initial_value, min: e.min_value, max: e.max_value, ...ids});
      case 'plain_text_input': {
        const a = {class: 'entry', ...ids, placeholder: e.placeholder?.text, maxlength: e.max_length || 3000, minlength: e.min_length, autofocus: e.focus_on_load};
        const n = e.multiline ? el('textarea', {...a, rows: 4}) : el('input', {...a, type: 'text'});
        n.value = e.initial_value || '';
        return n;
      }
    }
    return el('span', {class: 'unknown', text: `(${e.type})`});
  }
  // Pictures from elsewhere are not fetched by this page: nothing outside the machine is contacted.
  const picture = (e, cls) => {
    const own = e.slack_file?.id ? dir.fileURL(e.slack_file.id) : e.image_url?.startsWith(location.origin + '/') ? e.image_url : '';
    return own ? el('img', {class: cls, src: own, alt: e.alt_text, 'data-testid': 'image'}) : el('span', {class: cls + ' missing', role: 'img', 'aria-label': e.alt_text, title: e.image_url, text: e.alt_text});
  };

  function block(b, act, form, errors) {
    const wrap = (cls, ...kids) => el('div', {class: 'block ' + cls, 'data-block-id': b.block_id, 'data-block': b.type}, ...kids);
    switch (b.type) {
      case 'header': return wrap('header', el('h3', {}, plain(b.text)));
      case 'divider': return wrap('divider', el('hr'));
      case 'section': {
        const left = el('div', {class: 'body'}, text(b.text));
        if (b.fields) left.append(el('div', {class: 'fields'}, b.fields.map((f) => el('div', {class: 'field'}, text(f)))));
        return wrap('section', left, b.accessory ? el('div', {class: 'accessory'}, element(b, b.accessory, act, form)) : null);
      }
      case 'context': return wrap('context', b.elements.map((e) => e.type === 'image' ? picture(e, 'tiny') : text(e)));
      case 'actions': return wrap('actions', b.elements.map((e) => element(b, e, act, form)));
      case 'image': return wrap('image', b.title ? el('div', {class: 'img-title'}, plain(b.title)) : null, picture(b, 'full'));
      case 'rich_text': return wrap('rich_text', b.elements.map(richBlock));
      case 'table': return wrap('tableblock', table(b));
      case 'markdown': return wrap('section', mrkdwn(b.text.replace(/\*\*([^*\n]+)\*\*/g, '*$1*').replace(/^#+ +(.*)$/gm, '*$1*').replace(/^(\s*)[-*] /gm, '$1• ')));
      case 'input': {
        const e = element(b, b.element, act, form), id = 'in-' + (b.block_id || Math.random());
        if (!e.id) e.id = id;
        const err = errors?.[b.block_id];
        if (err) { e.setAttribute('aria-invalid', 'true'); e.setAttribute('aria-describedby', id + '-err'); }
        return wrap('input' + (err ? ' bad' : ''), el('label', {for: e.id}, plain(b.label), b.optional ? el('small', {text: ' (optional)'}) : null), e,
          err ? el('p', {class: 'err', id: id + '-err', 'data-testid': 'input-error', text: err}) : null, b.hint ? el('p', {class: 'hint'}, plain(b.hint)) : null);
      }
    }
    return wrap('unknown', `(${b.type})`);
  }
  const blocks = (list, act, form, errors) => { const f = document.createDocumentFragment(); for (const b of list) f.append(block(b, act, form, errors)); return f; };

  return {el, mrkdwn, plain, text, blocks, emoji, decode, directory(d) { dir = d; }};
})();
