package workspace

import (
	"crypto/subtle"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// file is an uploaded file; complete says that it was shared or kept by files.completeUploadExternal.
type file struct {
	File
	upload   string // id of the upload address, empty once used
	length   int    // announced
	received bool
	complete bool
	channels []string
	created  int64
}

func (w *Workspace) fileJSON(f *file) map[string]any {
	kind := strings.TrimPrefix(path.Ext(f.Name), ".")
	if kind == "" {
		kind = "binary"
	}
	private := "http://" + w.host + "/files-pri/" + teamID + "-" + f.ID + "/"
	name := url.PathEscape(f.Name)
	return map[string]any{
		"id": f.ID, "created": f.created, "timestamp": f.created, "name": f.Name, "title": f.Title, "mimetype": f.Mimetype, "filetype": kind, "pretty_type": strings.ToUpper(kind),
		"user": f.User, "user_team": teamID, "editable": false, "size": f.Size, "mode": "hosted", "is_external": false, "external_type": "", "is_public": true, "file_access": "visible",
		"url_private": private + name, "url_private_download": private + "download/" + name, "permalink": "http://" + w.host + "/files/" + f.User + "/" + f.ID + "/" + name,
		"alt_txt": f.AltText, "channels": f.channels, "groups": []string{}, "ims": []string{},
	}
}

func (w *Workspace) addFile(f *file) {
	f.ID = w.id("F")
	f.created = w.opt.Now().Unix()
	w.files[f.ID] = f
	w.fileOrder = append(w.fileOrder, f.ID)
	w.trimFiles()
}

// trimFiles forgets the oldest files when there are too many or too large ones. The lock is held.
func (w *Workspace) trimFiles() {
	total := 0
	for _, f := range w.files {
		total += len(f.Content)
	}
	for len(w.fileOrder) > 1 && (len(w.fileOrder) > maxFiles || total > maxAllFiles) {
		if f := w.files[w.fileOrder[0]]; f != nil {
			total -= len(f.Content)
		}
		delete(w.files, w.fileOrder[0])
		w.fileOrder = w.fileOrder[1:]
	}
}

// shared is the file as a message holds it: the bytes stay with the workspace.
func (f *file) shared() File {
	s := f.File
	s.Content = nil
	return s
}

func (w *Workspace) filesGetURL(r *request) (answer, *apiError) {
	n, err := strconv.Atoi(r.get("length"))
	name := r.get("filename")
	switch {
	case name == "":
		return nil, fail("invalid_arguments", "[ERROR] missing required field: filename")
	case utf8.RuneCountInString(name) > 255:
		return nil, fail("invalid_arguments", "[ERROR] filename must be less than 256 characters")
	case err != nil || n <= 0:
		return nil, fail("invalid_arguments", "[ERROR] length must be a positive number of bytes")
	case n > maxFileBytes:
		return nil, fail("file_upload_size_restricted")
	case utf8.RuneCountInString(r.get("alt_txt")) > 1000:
		return nil, fail("alt_txt_too_large")
	}
	f := &file{File: File{Name: name, Title: name, AltText: r.get("alt_txt"), User: botUserID}, length: n, upload: w.random(16)}
	w.addFile(f)
	return answer{"upload_url": "http://" + w.host + "/upload/v1/" + f.upload, "file_id": f.ID}, nil
}

// serveUpload takes a file's bytes, raw or as a multipart form.
func (w *Workspace) serveUpload(rw http.ResponseWriter, r *http.Request) {
	const name = "upload"
	fault := w.strike(name)
	if fault != nil && !fault.Done && w.misbehave(fault, rw, r, name) {
		return
	}
	w.mu.Lock()
	var f *file
	for _, x := range w.files {
		if x.upload != "" && x.upload == r.PathValue("id") {
			f = x
		}
	}
	w.mu.Unlock()
	status, text := http.StatusOK, ""
	rec := Call{At: w.opt.Now(), Method: name}
	if f == nil {
		status, text = http.StatusNotFound, "unknown or used upload address"
	} else {
		data, filename, err := uploadBytes(rw, r)
		rec.Params = map[string]string{"file": f.ID, "filename": filename, "bytes": strconv.Itoa(len(data))}
		switch {
		case err != nil:
			status, text = http.StatusBadRequest, err.Error()
		case len(data) != f.length:
			status, text = http.StatusBadRequest, fmt.Sprintf("%d bytes were announced, %d came", f.length, len(data))
		default:
			w.mu.Lock()
			if f.upload != "" { // else another request with the same bytes was faster
				f.Content, f.Size, f.received, f.upload = data, len(data), true, ""
				f.Mimetype = mimeOf(f.Name, data)
				w.trimFiles()
			}
			w.mu.Unlock()
			text = fmt.Sprintf("OK - %d", len(data))
		}
	}
	rec.Status = status
	if status != http.StatusOK {
		rec.Error = text
	}
	w.record(rec)
	if fault != nil && fault.Done && w.misbehave(fault, rw, r, name) {
		return
	}
	rw.WriteHeader(status)
	io.WriteString(rw, text)
}

func mimeOf(name string, data []byte) string {
	switch strings.ToLower(path.Ext(name)) {
	case ".pcap", ".cap", ".pcapng":
		return "application/vnd.tcpdump.pcap"
	case ".md":
		return "text/markdown"
	}
	if t := mime.TypeByExtension(path.Ext(name)); t != "" {
		t, _, _ = mime.ParseMediaType(t)
		return t
	}
	t, _, _ := mime.ParseMediaType(http.DetectContentType(data))
	return t
}

func uploadBytes(rw http.ResponseWriter, r *http.Request) ([]byte, string, error) {
	r.Body = http.MaxBytesReader(rw, r.Body, maxFileBytes+1<<20)
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if kind != "multipart/form-data" {
		b, err := io.ReadAll(r.Body)
		return b, "", err
	}
	mr, err := r.MultipartReader()
	if err != nil {
		return nil, "", err
	}
	for {
		p, err := mr.NextPart()
		if err != nil {
			return nil, "", fmt.Errorf("the form has no file part: %w", err)
		}
		if p.FileName() != "" || p.FormName() == "file" || p.FormName() == "filename" {
			b, err := io.ReadAll(p)
			return b, p.FileName(), err
		}
	}
}

func (w *Workspace) filesComplete(r *request) (answer, *apiError) {
	v, err := decode(r.get("files"))
	list, ok := v.([]any)
	if err != nil || !ok || len(list) == 0 {
		return nil, fail("invalid_arguments", "[ERROR] files must be an array of {id, title}")
	}
	var fs []*file
	for _, e := range list {
		m, _ := e.(map[string]any)
		f := w.files[str(m["id"])]
		switch {
		case f == nil:
			return nil, fail("file_not_found")
		case f.complete:
			return nil, fail("file_already_completed", "[ERROR] "+f.ID+" was completed before")
		case !f.received:
			return nil, fail("file_not_found", "[ERROR] the bytes of "+f.ID+" have not been uploaded")
		}
		if slices.Contains(fs, f) {
			return nil, fail("invalid_arguments", "[ERROR] the same file twice")
		}
		if t := str(m["title"]); t != "" {
			f.Title = t
		}
		fs = append(fs, f)
	}
	var targets []string
	if c := r.get("channel_id"); c != "" {
		targets = append(targets, c)
	}
	if c := r.get("channels"); c != "" {
		targets = append(targets, strings.Split(c, ",")...)
	}
	if len(targets) > 1 && r.get("thread_ts") != "" {
		return nil, fail("invalid_arguments", "[ERROR] thread_ts goes with one channel only")
	}
	var chans []*channel
	for _, id := range targets {
		c := w.channel(id)
		switch {
		case c == nil:
			return nil, fail("invalid_channel")
		case c.user == "" && !c.member:
			return nil, fail("not_in_channel")
		}
		if aerr := c.thread(r.get("thread_ts")); aerr != nil {
			return nil, aerr
		}
		chans = append(chans, c)
	}
	d, aerr := w.compose(func(k string) (string, bool) {
		switch k {
		case "text":
			return r.lookup("initial_comment")
		case "blocks":
			return r.lookup("blocks")
		}
		return "", false
	})
	if aerr != nil {
		return nil, aerr
	}
	out := []any{}
	for _, f := range fs {
		f.complete = true
	}
	for _, c := range chans {
		m := &Message{User: botUserID, BotID: botID, Text: d.text, Blocks: d.blocks, ThreadTS: r.get("thread_ts"), Warnings: d.warnings}
		for _, f := range fs {
			f.channels = append(f.channels, c.id)
			m.Files = append(m.Files, f.shared())
			if strings.HasPrefix(f.Mimetype, "image/") && f.AltText == "" {
				m.Warnings = append(m.Warnings, "the picture "+f.Name+" has no alt text")
			}
		}
		w.post(c, m)
	}
	for _, f := range fs {
		out = append(out, w.fileJSON(f))
	}
	return answer{"files": out}, nil
}

func (w *Workspace) filesInfo(r *request) (answer, *apiError) {
	f := w.files[r.get("file")]
	if f == nil || !f.complete {
		return nil, fail("file_not_found")
	}
	return answer{"file": w.fileJSON(f), "comments": []any{}, "response_metadata": map[string]any{"next_cursor": ""}}, nil
}

func (w *Workspace) filesDelete(r *request) (answer, *apiError) {
	f := w.files[r.get("file")]
	switch {
	case f == nil:
		return nil, fail("file_not_found")
	case f.User != botUserID:
		return nil, fail("cant_delete_file")
	}
	delete(w.files, f.ID)
	w.fileOrder = slices.DeleteFunc(w.fileOrder, func(id string) bool { return id == f.ID })
	for _, c := range w.channels {
		for _, m := range c.messages {
			if i := slices.IndexFunc(m.Files, func(g File) bool { return g.ID == f.ID }); i >= 0 {
				m.Files = slices.Delete(slices.Clone(m.Files), i, i+1)
				m.rev = w.touch()
			}
		}
	}
	return nil, nil
}

// serveDownload is url_private: only with the bot token in the header; without, Slack sends its sign-in page.
func (w *Workspace) serveDownload(rw http.ResponseWriter, r *http.Request) {
	const name = "download"
	if fault := w.strike(name); fault != nil && w.misbehave(fault, rw, r, name) {
		return
	}
	id, ok := strings.CutPrefix(r.PathValue("id"), teamID+"-")
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	rec := Call{At: w.opt.Now(), Method: name, Params: map[string]string{"file": id}, Status: http.StatusOK}
	w.mu.Lock()
	f := w.files[id]
	if f != nil && !f.complete {
		f = nil
	}
	scoped := slices.Contains(w.opt.Scopes, "files:read")
	w.mu.Unlock()
	switch {
	case subtle.ConstantTimeCompare([]byte(token), []byte(w.botToken)) != 1 || !scoped:
		rec.Error = "not signed in"
		w.record(rec)
		rw.Header().Set("Content-Type", "text/html; charset=utf-8")
		io.WriteString(rw, "<!DOCTYPE html><title>Sign in</title><p>Sign in to "+teamName+" to see this file.</p>")
		return
	case !ok || f == nil:
		rec.Status, rec.Error = http.StatusNotFound, "file_not_found"
		w.record(rec)
		http.Error(rw, "file not found", http.StatusNotFound)
		return
	}
	w.record(rec)
	sendFile(rw, f)
}

// sendFile sends a file as what it is, never as something a browser would run.
func sendFile(rw http.ResponseWriter, f *file) {
	kind, disposition := f.Mimetype, "attachment"
	if kind == "image/png" || kind == "image/jpeg" || kind == "image/gif" {
		disposition = "inline"
	} else {
		kind = "application/octet-stream"
	}
	h := rw.Header()
	h.Set("Content-Type", kind)
	h.Set("Content-Length", strconv.Itoa(len(f.Content)))
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	h.Set("Content-Disposition", mime.FormatMediaType(disposition, map[string]string{"filename": f.Name}))
	rw.Write(f.Content)
}
