// The page: what the user sees of the workspace, and what they do there. The state comes from /page/state, as
// often as /page/events says that something changed.
'use strict';

const $ = (id) => document.getElementById(id);
const {el} = Render;
const token = new URLSearchParams(location.search).get('token') || '';
const S = {rev: 0, me: sessionStorage.getItem('me') || '', users: new Map(), channels: new Map(), messages: new Map(), place: '', tab: 'home', thread: '', data: null};

const api = (path, opt = {}) => fetch(path, {...opt, headers: {'X-Workspace-Token': token, ...opt.headers}, cache: 'no-store'});
const fileURL = (id) => `/page/file/${encodeURIComponent(id)}?token=${encodeURIComponent(token)}`;

let toastTimer;
function toast(text) {
  $('toast').textContent = text;
  $('toast').hidden = false;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => { $('toast').hidden = true; }, 6000);
}
async function act(body) {
  try {
    const r = await api('/page/act', {method: 'POST', headers: {'Content-Type': 'application/json'}, body: JSON.stringify({user: S.me, ...body})});
    if (!r.ok) { const e = await r.json().catch(() => ({})); toast(e.error || 'That did not work.'); return false; }
    return true;
  } catch { toast('The workspace does not answer. Is it still running?'); return false; }
}

// ---- state ----
let loading = false, again = false;
async function load() {
  if (loading) { again = true; return; }
  loading = true;
  try {
    do {
      again = false;
      const me = S.me, since = S.rev;
      const r = await api(`/page/state?since=${since}&user=${encodeURIComponent(me)}`);
      if (!r.ok) { toast(await r.text()); break; }
      const d = await r.json();
      if (me !== S.me || since !== S.rev) { again = true; continue; } // the user was switched meanwhile
      merge(d);
    } while (again);
  } catch { offline(true); } finally { loading = false; }
}
function merge(d) {
  offline(false);
  S.data = d; S.rev = d.rev; S.me = d.me;
  S.users = new Map(d.users.map((u) => [u.id, u]));
  S.users.set('USLACKBOT', {id: 'USLACKBOT', name: 'slackbot', real: 'Slackbot', bot: true});
  S.channels = new Map(d.channels.map((c) => [c.id, c]));
  if (!S.channels.has(S.place)) S.place = d.channels[0]?.id || '';
  Render.directory({users: S.users, channels: S.channels, groups: d.groups, me: S.me, fileURL, jump});
  const dirty = new Set();
  for (const m of d.messages) {
    dirty.add(m.ts);
    if (m.thread) dirty.add(m.thread);
    if (m.deleted) S.messages.delete(m.ts); else S.messages.set(m.ts, m);
  }
  chrome();
  draw(dirty);
  modal();
  home();
}
function offline(on) { document.body.classList.toggle('offline', on); }

// ---- the frame ----
let frame = '';
function chrome() {
  const d = S.data, here = S.channels.get(S.place);
  const key = JSON.stringify([d.users, d.channels, d.me, S.place, S.tab, d.connected]);
  if (key === frame) return;
  frame = key;
  document.body.dataset.user = S.me;
  document.title = `${here?.direct ? d.appName : '#' + (here?.name || '')} · ${d.team}`;
  $('team-name').textContent = d.team;
  const sel = $('user-switch');
  sel.replaceChildren(...d.users.filter((u) => !u.bot && !u.deleted).map((u) => el('option', {value: u.id, text: u.real + (u.admin ? ' (admin)' : u.stranger ? ' (another company)' : u.guest ? ' (guest)' : ''), selected: u.id === S.me})));
  sel.value = S.me;
  const item = (c, label) => { const b = el('button', {'data-testid': 'channel', 'data-channel': c.id, 'aria-current': c.id === S.place ? 'page' : null}, label); b.onclick = () => go(c.id); return el('li', {}, b); };
  $('channels').replaceChildren(...d.channels.filter((c) => !c.direct).map((c) => item(c, [el('span', {class: 'hash', 'aria-hidden': 'true', text: '#'}), c.name])));
  const direct = d.channels.find((c) => c.direct);
  const b = el('button', {'data-testid': 'app-home', 'aria-current': direct && direct.id === S.place || S.place === 'home' ? 'page' : null}, avatar({user: d.app, app: true}, 'mini'), d.appName, el('small', {text: 'App'}));
  b.onclick = async () => { await openHome(); };
  $('apps').replaceChildren(el('li', {}, b));
  $('link-state').replaceChildren(el('span', {class: d.connected ? 'dot on' : 'dot'}), d.connected ? `${d.appName} is connected` : `${d.appName} is not connected`);
  $('tabs').hidden = !here?.direct;
  $('tab-home').setAttribute('aria-selected', S.tab === 'home');
  $('tab-messages').setAttribute('aria-selected', S.tab === 'messages');
  $('place').textContent = here?.direct ? d.appName : '# ' + (here?.name || '');
  $('topic').textContent = here?.direct ? 'App' : here?.topic || '';
  $('members').textContent = here && !here.direct ? `${here.members} members` : '';
  const showHome = here?.direct && S.tab === 'home';
  $('home').hidden = !showHome; $('scroll').hidden = showHome; $('composer-form').hidden = showHome;
  $('composer').placeholder = here?.direct ? `Message ${d.appName}` : `Message #${here?.name} or type ${d.command}`;
}
function go(id, tab) {
  S.place = id; S.tab = tab || 'messages';
  if (!S.messages.has(S.thread) || S.messages.get(S.thread).channel !== id) openThread('');
  chrome(); redraw(); home();
  if (!$('composer-form').hidden) $('composer').focus();
}
async function openHome() {
  if (!await act({kind: 'home'})) return;
  await load();
  const c = S.data.channels.find((x) => x.direct);
  if (c) go(c.id, 'home');
}
// jump follows a link to a message of this workspace.
function jump(channel, ts, thread) {
  if (!S.channels.has(channel)) { toast('You are not in that channel.'); return; }
  if (S.place !== channel) go(channel);
  if (thread) openThread(thread);
  const n = (thread ? $('thread-messages') : $('messages')).querySelector(`[data-ts="${CSS.escape(ts)}"]`);
  if (!n) { toast('That message is not here any more.'); return; }
  n.scrollIntoView({block: 'center'});
  n.classList.add('found');
  setTimeout(() => n.classList.remove('found'), 2500);
}
$('tab-home').onclick = openHome;
$('tab-messages').onclick = () => go(S.place, 'messages');
$('user-switch').onchange = (e) => {
  S.me = e.target.value; sessionStorage.setItem('me', S.me);
  S.rev = 0; S.messages.clear(); frame = ''; modalKey = ''; homeKey = '';
  const direct = S.channels.get(S.place)?.direct;
  if (direct) S.place = '';
  $('messages').replaceChildren(); $('thread-messages').replaceChildren();
  load().then(() => { if (S.thread && !S.messages.has(S.thread)) openThread(''); });
};

// ---- messages ----
const colours = ['#0f766e', '#7c3aed', '#b45309', '#be185d', '#1d4ed8', '#4d7c0f'];
function avatar(m, cls = '') {
  if (m.app) return el('span', {class: 'avatar app ' + cls, 'aria-hidden': 'true'});
  const u = S.users.get(m.user), name = u?.real || m.user;
  const n = el('span', {class: 'avatar ' + cls, 'aria-hidden': 'true', text: name.split(/\s+/).map((p) => p[0]).slice(0, 2).join('')});
  n.style.backgroundColor = m.user === 'USLACKBOT' ? '#64748b' : colours[Math.max(0, S.data.users.findIndex((x) => x.id === m.user)) % colours.length];
  return n;
}
const clock = (ts) => new Date(Number(ts) * 1000).toLocaleTimeString(undefined, {hour: '2-digit', minute: '2-digit'});
const day = (ts) => { const d = new Date(Number(ts) * 1000); return d.toDateString() === new Date().toDateString() ? 'Today' : d.toLocaleDateString(undefined, {weekday: 'long', day: 'numeric', month: 'long'}); };
const size = (n) => n < 1024 ? n + ' bytes' : n < 1048576 ? (n / 1024).toFixed(1) + ' KiB' : (n / 1048576).toFixed(1) + ' MiB';

function files(m) {
  return (m.files || []).map((f) => {
    if (f.gone) return el('div', {class: 'file gone', text: 'This file was deleted.'});
    const bar = el('div', {class: 'file-head'}, el('b', {text: f.title || f.name}), el('a', {class: 'dl', href: fileURL(f.id), download: f.name, 'aria-label': 'Download ' + f.name, text: 'Download'}));
    if (f.image) {
      const img = el('img', {src: fileURL(f.id), alt: f.alt || f.title || f.name, 'data-testid': 'file-image', 'data-file-id': f.id});
      img.addEventListener('load', () => stick());
      const b = el('button', {type: 'button', class: 'zoom', 'aria-label': 'Enlarge: ' + (f.alt || f.title || f.name)}, img);
      b.onclick = () => { const p = $('picture'); p.querySelector('img').src = img.src; p.querySelector('img').alt = img.alt; p.querySelector('p').textContent = f.title || f.name; p.showModal(); };
      return el('figure', {class: 'file pic', 'data-testid': 'file', 'data-file-name': f.name}, bar, b);
    }
    const ext = (f.name.split('.').pop() || '').slice(0, 5).toUpperCase();
    return el('div', {class: 'file doc', 'data-testid': 'file', 'data-file-name': f.name}, el('span', {class: 'ext', 'aria-hidden': 'true', text: ext}), el('div', {}, el('b', {text: f.title || f.name}), el('small', {text: `${f.name} · ${size(f.size)}`})), el('a', {class: 'dl', href: fileURL(f.id), download: f.name, 'aria-label': 'Download ' + f.name, text: 'Download'}));
  });
}
function message(m, inThread, joined) {
  const u = S.users.get(m.user), name = m.app ? S.data.appName : u?.real || m.user;
  const n = el('li', {class: 'msg' + (joined ? ' joined' : '') + (m.ephemeral ? ' ephemeral' : ''), 'data-testid': 'message', 'data-ts': m.ts, 'data-user': m.user, 'data-ephemeral': m.ephemeral ? 'true' : null, 'data-edited': m.edited ? 'true' : null, 'data-replies': (m.replies || []).length});
  const time = el('time', {datetime: new Date(Number(m.ts) * 1000).toISOString(), title: new Date(Number(m.ts) * 1000).toLocaleString(), text: clock(m.ts)});
  const body = el('div', {class: 'content'});
  if (m.ephemeral) body.append(el('p', {class: 'only', text: 'Only visible to you'}));
  body.append(el('p', {class: 'who'}, el('b', {text: name}), m.app || m.user === 'USLACKBOT' ? el('span', {class: 'badge', text: 'APP'}) : null, time));
  const main = el('div', {class: 'text', 'data-testid': 'text'});
  if (m.blocks?.length) main.append(Render.blocks(m.blocks, (b, e, value, src) => use({ts: m.ts}, b, e, value, src)));
  else if (m.text) main.append(Render.mrkdwn(m.text));
  if (m.edited) main.append(el('span', {class: 'edited', 'data-testid': 'edited', text: '(edited)'}));
  body.append(main, ...files(m));
  if (m.reactions) body.append(el('div', {class: 'reactions'}, Object.entries(m.reactions).map(([k, us]) => el('span', {class: 'reaction', title: us.map((x) => S.users.get(x)?.real || x).join(', ')}, Render.emoji(k) || ':' + k + ':', ' ' + us.length))));
  if (!inThread && m.replies?.length) {
    const last = m.replies[m.replies.length - 1];
    const who = [...new Set(m.replies.map((ts) => S.messages.get(ts)).filter(Boolean).map((r) => r.user))].slice(0, 3);
    const b = el('button', {type: 'button', class: 'replies', 'data-testid': 'open-thread', 'data-ts': m.ts}, who.map((id) => avatar({user: id, app: id === S.data.app}, 'mini')), el('b', {text: m.replies.length === 1 ? '1 reply' : m.replies.length + ' replies'}), el('small', {text: 'Last reply ' + clock(last)}));
    b.onclick = () => openThread(m.ts);
    body.append(b);
  }
  n.append(joined ? el('span', {class: 'side'}, time.cloneNode(true)) : avatar(m), body);
  if (!m.ephemeral) {
    const tools = el('div', {class: 'tools'});
    if (!inThread) { const r = el('button', {type: 'button', 'data-testid': 'reply', title: 'Reply in thread', 'aria-label': 'Reply in thread'}, el('span', {class: 'i-reply', 'aria-hidden': 'true'})); r.onclick = () => openThread(m.ts, true); tools.append(r); }
    for (const s of S.data.shortcuts || []) { const b = el('button', {type: 'button', 'data-testid': 'shortcut', 'data-callback-id': s.id, title: s.name + ' · ' + S.data.appName, text: s.name}); b.onclick = () => act({kind: 'shortcut', ts: m.ts, shortcut: s.id}); tools.append(b); }
    n.append(tools);
  }
  return n;
}
const inPlace = () => [...S.messages.values()].filter((m) => m.channel === S.place && (!m.thread || m.thread === m.ts || m.broadcast)).sort((a, b) => a.ts < b.ts ? -1 : 1);
const inThread = () => [...S.messages.values()].filter((m) => m.ts === S.thread || m.thread === S.thread).sort((a, b) => a.ts < b.ts ? -1 : 1);

// fill brings a list up to date: nodes of messages that did not change stay as they are, so that focus,
// selections and scroll positions survive.
function fill(list, scroll, msgs, dirty, isThread) {
  const bottom = scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 80;
  const old = new Map([...list.children].filter((n) => n.dataset.key).map((n) => [n.dataset.key, n]));
  const focus = document.activeElement?.closest?.('[data-key]') && list.contains(document.activeElement) ? {key: document.activeElement.closest('[data-key]').dataset.key, action: document.activeElement.dataset.actionId, block: document.activeElement.dataset.blockId} : null;
  const want = [];
  let prev = null;
  for (const m of msgs) {
    if (!isThread && (!prev || day(prev.ts) !== day(m.ts))) {
      const key = 'day' + day(m.ts) + m.ts;
      const n = old.get(key) || el('li', {class: 'day', 'data-key': key}, el('span', {text: day(m.ts)}));
      want.push(n);
      prev = null;
    }
    const joined = prev && prev.user === m.user && !m.blocks?.length && !prev.ephemeral && !m.ephemeral && Number(m.ts) - Number(prev.ts) < 240 && !(isThread && prev.ts === S.thread);
    let n = old.get(m.ts);
    if (!n || dirty === null || dirty.has(m.ts) || n.classList.contains('joined') !== !!joined) {
      n = message(m, isThread, joined);
      n.dataset.key = m.ts;
    }
    want.push(n);
    if (isThread && m.ts === S.thread && msgs.length > 1) {
      const key = 'count' + msgs.length;
      want.push(old.get(key) || el('li', {class: 'count', 'data-key': key}, el('span', {text: msgs.length === 2 ? '1 reply' : `${msgs.length - 1} replies`})));
    }
    prev = m;
  }
  want.forEach((n, i) => { if (list.children[i] !== n) list.insertBefore(n, list.children[i] || null); });
  while (list.children.length > want.length) list.lastChild.remove();
  if (focus?.action) list.querySelector(`[data-key="${CSS.escape(focus.key)}"] [data-action-id="${CSS.escape(focus.action)}"]`)?.focus({preventScroll: true});
  if (bottom || dirty === null) scroll.scrollTop = scroll.scrollHeight;
}
function stick() { for (const id of ['scroll', 'thread-scroll']) { const s = $(id); if (s.scrollHeight - s.scrollTop - s.clientHeight < 600) s.scrollTop = s.scrollHeight; } }
function draw(dirty) {
  fill($('messages'), $('scroll'), inPlace(), dirty, false);
  if (!$('messages').children.length) $('messages').replaceChildren(el('li', {class: 'empty'}, el('p', {}, el('b', {text: 'Nothing here yet.'})), el('p', {text: S.channels.get(S.place)?.app ? `Type ${S.data.command} to see what ${S.data.appName} can do.` : `${S.data.appName} is not in this channel.`})));
  if (S.thread) {
    const msgs = inThread();
    if (!msgs.some((m) => m.ts === S.thread)) { openThread(''); return; }
    fill($('thread-messages'), $('thread-scroll'), msgs, dirty, true);
  }
}
const redraw = () => draw(null);
function openThread(ts, focus) {
  S.thread = ts;
  $('thread').hidden = !ts;
  document.body.classList.toggle('with-thread', !!ts);
  $('thread-messages').replaceChildren();
  if (!ts) return;
  $('thread-place').textContent = '# ' + (S.channels.get(S.place)?.name || '');
  fill($('thread-messages'), $('thread-scroll'), inThread(), null, true);
  if (focus) $('thread-composer').focus();
}
$('thread-close').onclick = () => { openThread(''); $('composer').focus(); };

// ---- using elements ----
async function use(where, b, e, value, src) {
  if (e.confirm && !await ask(e.confirm)) return;
  if (src) { src.disabled = true; src.setAttribute('aria-busy', 'true'); setTimeout(() => { src.disabled = false; src.removeAttribute('aria-busy'); }, 3000); }
  if (!await act({kind: 'click', block: b.block_id, action: e.action_id, value, ...where}) && src) src.disabled = false;
}
function ask(c) {
  return new Promise((done) => {
    const d = $('confirm');
    $('confirm-title').replaceChildren(Render.text(c.title));
    $('confirm-text').replaceChildren(Render.text(c.text));
    $('confirm-yes').replaceChildren(Render.plain(c.confirm));
    $('confirm-no').replaceChildren(Render.plain(c.deny));
    $('confirm-yes').className = 'btn ' + (c.style || 'primary');
    let answer = false;
    $('confirm-yes').onclick = () => { answer = true; d.close(); };
    $('confirm-no').onclick = () => d.close();
    d.onclose = () => done(answer);
    d.showModal();
    $('confirm-no').focus();
  });
}

// ---- modal and App Home ----
let modalKey = '', modalID = '';
function values() {
  const out = {};
  for (const n of $('modal-body').querySelectorAll('[data-action-id]')) {
    const id = n.dataset.actionId;
    if (n.matches('[data-many]')) out[id] = [...n.querySelectorAll('input:checked')].map((x) => x.value).join('\n');
    else if (n.matches('input[type=radio]')) { if (n.checked) out[id] = n.value; }
    else if (n.matches('input,textarea,select')) out[id] = n.value;
  }
  return out;
}
function modal() {
  const m = S.data.modal, d = $('modal');
  const key = m ? m.id + ':' + m.rev : '';
  if (key === modalKey) return;
  modalKey = key;
  if (!m) { modalID = ''; if (d.open) d.close(); return; }
  const kept = m.id === modalID ? values() : {};
  const v = m.view, errors = m.errors || {};
  modalID = m.id;
  $('modal-title').replaceChildren(Render.text(v.title));
  $('modal-body').replaceChildren(Render.blocks(v.blocks, (b, e, value, src) => use({view: m.id}, b, e, value, src), true, errors));
  for (const [id, value] of Object.entries(kept)) {
    const n = $('modal-body').querySelector(`[data-action-id="${CSS.escape(id)}"]`);
    if (n?.matches('input:not([type=radio]),textarea,select')) n.value = value;
    else if (value) for (const x of $('modal-body').querySelectorAll('input[type=radio],input[type=checkbox]')) x.checked = value.split('\n').includes(x.value) || x.checked;
  }
  $('modal-error').textContent = errors[''] || '';
  $('modal-error').hidden = !errors[''];
  $('modal-close').replaceChildren(v.close ? Render.text(v.close) : 'Close');
  $('modal-submit').hidden = !v.submit;
  if (v.submit) $('modal-submit').replaceChildren(Render.text(v.submit));
  $('modal-submit').disabled = m.pending;
  $('modal-submit').toggleAttribute('aria-busy', m.pending);
  if (!d.open) d.showModal();
  if (!m.pending) ($('modal-body').querySelector('[aria-invalid],[autofocus]') || $('modal-body').querySelector('input,textarea,select') || $('modal-close')).focus();
}
$('modal-form').onsubmit = (e) => { e.preventDefault(); if (S.data.modal) act({kind: 'submit', values: values()}); };
$('modal-close').onclick = $('modal-x').onclick = () => act({kind: 'close'});
$('modal').oncancel = (e) => { e.preventDefault(); act({kind: 'close'}); };

let homeKey = '';
function home() {
  const h = S.data.home, key = h ? h.id + ':' + h.rev + S.me : 'none' + S.me;
  if (key === homeKey) return;
  homeKey = key;
  $('home').replaceChildren(h ? el('div', {class: 'home-body'}, Render.blocks(h.view.blocks, (b, e, value, src) => use({view: h.id}, b, e, value, src))) : el('p', {class: 'empty', text: `${S.data.appName} has not published a home page for you yet.`}));
}

// ---- writing ----
function composer(box, hints, send, attach, where) {
  let items = [], at = -1, sent = false;
  const close = () => { hints.hidden = true; items = []; at = -1; box.removeAttribute('aria-activedescendant'); };
  const mark = () => { [...hints.children].forEach((n, i) => n.setAttribute('aria-selected', i === at)); if (hints.children[at]) { hints.children[at].scrollIntoView({block: 'nearest'}); box.setAttribute('aria-activedescendant', hints.children[at].id); } };
  const choose = (i) => { box.value = items[i].text; close(); size(); box.focus(); };
  const size = () => { box.style.height = 'auto'; box.style.height = Math.min(200, box.scrollHeight) + 'px'; send.disabled = !box.value.trim(); };
  const suggest = () => {
    const v = box.value, cmd = S.data.command, w = /(^|\s)@([\p{L}\d._-]*)$/u.exec(v);
    items = [];
    if (v.startsWith('/') && !where().thread) {
      const typed = v.toLowerCase();
      const all = (S.data.hints || []).map((h) => ({usage: `${cmd} ${h.Usage}`, note: h.Text}));
      items = all.filter((h) => { const fixed = h.usage.split(/ (?=[A-Z[])/)[0].toLowerCase(); return fixed.startsWith(typed.trimEnd()) || typed.startsWith(fixed + ' '); })
        .map((h) => { const fixed = h.usage.split(/ (?=[A-Z[])/)[0]; return {...h, text: v.length > fixed.length ? v : fixed + (h.usage === fixed ? '' : ' ')}; });
    } else if (w) {
      const p = w[2].toLowerCase();
      items = [...S.users.values()].filter((u) => u.id !== 'USLACKBOT' && !u.deleted && (u.name.toLowerCase().startsWith(p) || u.real.toLowerCase().startsWith(p))).map((u) => ({usage: '@' + u.name, note: u.real, text: v.slice(0, v.length - w[2].length) + u.name + ' '}));
    }
    hints.replaceChildren(...items.map((h, i) => { const n = el('li', {role: 'option', id: hints.id + i, 'data-testid': 'hint'}, el('code', {text: h.usage}), el('span', {text: h.note})); n.onmousedown = (e) => { e.preventDefault(); choose(i); }; return n; }));
    hints.hidden = !items.length;
    at = -1;
  };
  const submit = async () => {
    const text = box.value.trim(), to = where();
    if (!text) return;
    if (to.thread && text.startsWith('/')) { toast(`${text.split(' ')[0]} is not supported in threads. Write @${S.data.appName} ${text.split(' ').slice(1).join(' ')} instead.`); return; }
    close();
    box.value = ''; size();
    const ok = await act(text.startsWith('/') ? {kind: 'slash', text, channel: to.channel} : {kind: 'say', text, ...to});
    if (!ok && !box.value) { box.value = text; size(); }
  };
  box.addEventListener('input', () => { size(); suggest(); });
  box.addEventListener('blur', close);
  box.addEventListener('keydown', (e) => {
    if (e.isComposing) return;
    if (!hints.hidden && (e.key === 'ArrowDown' || e.key === 'ArrowUp')) { e.preventDefault(); at = (at + (e.key === 'ArrowDown' ? 1 : items.length - (at < 0 ? 0 : 1))) % items.length; mark(); return; }
    if (!hints.hidden && (e.key === 'Tab' && !e.shiftKey || e.key === 'Enter' && at >= 0)) { e.preventDefault(); choose(Math.max(0, at)); suggest(); return; }
    if (e.key === 'Escape') { if (!hints.hidden) close(); else if (where().thread) $('thread-close').click(); return; }
    if (e.key === 'Enter' && !e.shiftKey) { e.preventDefault(); sent = true; submit(); }
  });
  // Some input methods insert the line break although the key was handled.
  box.addEventListener('beforeinput', (e) => { if (sent && (e.inputType === 'insertLineBreak' || e.data === '\n')) e.preventDefault(); });
  box.addEventListener('keyup', () => { sent = false; });
  box.form.addEventListener('submit', (e) => { e.preventDefault(); submit(); });
  attach.addEventListener('change', async () => {
    const f = attach.files[0], to = where();
    attach.value = '';
    if (!f) return;
    const q = new URLSearchParams({user: S.me, channel: to.channel, thread: to.thread || '', name: f.name, text: box.value.trim()});
    const r = await api('/page/upload?' + q, {method: 'POST', body: f}).catch(() => null);
    if (!r?.ok) { toast((await r?.json().catch(() => null))?.error || 'The file could not be shared.'); return; }
    box.value = ''; size();
  });
  box.form.querySelector('.tip').textContent = 'Enter sends, Shift+Enter makes a new line';
}
composer($('composer'), $('hints'), document.querySelector('[data-testid=send]'), document.querySelector('[data-testid=attach]'), () => ({channel: S.place}));
composer($('thread-composer'), $('thread-hints'), document.querySelector('[data-testid=thread-send]'), document.querySelector('[data-testid=thread-attach]'), () => ({channel: S.place, thread: S.thread}));

load().then(() => {
  $('composer').focus();
  const events = new EventSource('/page/events?token=' + encodeURIComponent(token));
  events.onmessage = () => load();
  events.onerror = () => offline(true);
});
