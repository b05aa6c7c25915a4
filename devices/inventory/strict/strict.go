// Package strict finds every mistake in the layout of a YAML file, where the YAML library
// stops at the first and names it by line and column only.
package strict

import (
	"cmp"
	"encoding"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// Error is one mistake. It never holds a value of the file, which may be a secret.
type Error struct {
	Line    int    // 0: nothing of the file is meant, as when a key is missing
	Key     string // devices[2].address; "" for the file as a whole
	Message string // what to write
}

// Error gives the mistake as "line 3: ssh.keep_alive: write …".
func (e Error) Error() string {
	s := e.Message
	if e.Key != "" {
		s = e.Key + ": " + s
	}
	if e.Line > 0 {
		s = fmt.Sprintf("line %d: %s", e.Line, s)
	}
	return s
}

// File is a YAML file of one document whose syntax is right.
type File struct {
	Root  ast.Node
	lines map[string]int // by key
}

// broken is said of documents that the library panics on.
const broken = "this YAML is not understood: look for a tag (!), an anchor (&) or an empty list"

// Parse reads data, which holds one document.
func Parse(data []byte) (f *File, err error) {
	// The library panics on some broken documents.
	defer func() {
		if recover() != nil {
			f, err = nil, Error{Message: broken}
		}
	}()
	file, err := parser.ParseBytes(data, 0)
	if err != nil {
		return nil, plain(err)
	}
	if len(file.Docs) != 1 || file.Docs[0].Body == nil {
		return nil, Error{Message: fmt.Sprintf("needs exactly one YAML document, found %d", len(file.Docs))}
	}
	f = &File{Root: bare(file.Docs[0].Body), lines: map[string]int{}}
	f.Walk(func(key string, line int, _ ast.Node) { f.lines[key] = line })
	return f, nil
}

// Decode reads the file into the struct that into points to. The errors are all there
// are, in the order of their lines.
func (f *File) Decode(into any) (errs []error) {
	defer func() {
		if recover() != nil {
			errs = append(errs, Error{Message: broken})
		}
	}()
	c := &check{}
	c.node(f.Root, reflect.TypeOf(into).Elem(), "")
	if len(c.errs) > 0 {
		return f.Place(c.errs)
	}
	if err := yaml.NodeToValue(f.Root, into, yaml.Strict()); err != nil {
		// What passed the check and fails here stands behind an alias. The library would print the value.
		e := Error{Message: "what an alias (*) or a merge (<<) stands for does not fit where it is used: write it out there"}
		if p, ok := plain(err).(Error); ok {
			e.Line = p.Line
		}
		return []error{e}
	}
	return nil
}

// Place gives errors that begin with a key ("ssh.keep_alive: write …") the key's line, or
// that of the nearest key above it, and sorts them by line.
func (f *File) Place(errs []error) []error {
	var out []error
	for _, err := range errs {
		e, ok := err.(Error)
		if !ok {
			e.Key, e.Message, _ = strings.Cut(err.Error(), ": ")
		}
		if e.Line == 0 {
			e.Line = f.Line(e.Key)
		}
		out = append(out, e)
	}
	slices.SortStableFunc(out, func(a, b error) int {
		x, y := a.(Error), b.(Error)
		return cmp.Or(cmp.Compare(x.Line, y.Line), cmp.Compare(x.Key, y.Key))
	})
	return out
}

// Line is where a key is written, that of the nearest key above it when it is not, and
// 0 when there is none.
func (f *File) Line(key string) int {
	for ; key != ""; key = key[:max(0, strings.LastIndexAny(key, ".["))] {
		if n := f.lines[key]; n > 0 {
			return n
		}
	}
	return 0
}

// Keys are the keys written under a key, in their order.
func (f *File) Keys(key string) (keys []string) {
	f.Walk(func(at string, _ int, _ ast.Node) {
		if k, ok := strings.CutPrefix(at, key+"."); ok && !strings.ContainsAny(k, ".[") {
			keys = append(keys, k)
		}
	})
	return keys
}

// Walk calls visit for every value with its key (that of a list's element ends in its
// index), the line on which it is written, and its node without anchor and tag.
func (f *File) Walk(visit func(key string, line int, value ast.Node)) {
	walk(f.Root, "", visit)
}

func walk(n ast.Node, key string, visit func(string, int, ast.Node)) {
	for _, v := range pairs(n) {
		at, value := under(key, v), bare(v.Value)
		visit(at, line(v.Key), value)
		walk(value, at, visit)
	}
	if list, ok := n.(*ast.SequenceNode); ok {
		for i, v := range list.Values {
			at, value := fmt.Sprintf("%s[%d]", key, i), bare(v)
			visit(at, line(value), value)
			walk(value, at, visit)
		}
	}
}

// bare is a node without its anchor and tag.
func bare(n ast.Node) ast.Node {
	for {
		switch t := n.(type) {
		case *ast.AnchorNode:
			n = t.Value
		case *ast.TagNode:
			n = t.Value
		default:
			return n
		}
	}
}

func pairs(n ast.Node) []*ast.MappingValueNode {
	switch n := n.(type) {
	case *ast.MappingNode:
		return n.Values
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}
	}
	return nil
}

func name(v *ast.MappingValueNode) string {
	if s, ok := v.Key.(*ast.StringNode); ok {
		return s.Value
	}
	return strings.TrimSpace(v.Key.String())
}

func under(key string, v *ast.MappingValueNode) string {
	return strings.TrimPrefix(key+"."+name(v), ".")
}

func line(n ast.Node) int {
	if n == nil || n.GetToken() == nil || n.GetToken().Position == nil {
		return 0
	}
	return n.GetToken().Position.Line
}

// plain brings an error of the library to a line and a message without the excerpt,
// which may show a secret.
func plain(err error) error {
	var e yaml.Error
	if errors.As(err, &e) && e.GetToken() != nil && e.GetToken().Position != nil {
		return Error{Line: e.GetToken().Position.Line, Message: e.GetMessage()}
	}
	first, _, _ := strings.Cut(err.Error(), "\n")
	return Error{Message: first}
}

// Wanter is a type of value that says what its values look like.
type Wanter interface{ Want() string }

// check compares a document with the type that it is read into.
type check struct{ errs []error }

func (c *check) fail(n ast.Node, key, format string, args ...any) {
	c.errs = append(c.errs, Error{line(n), key, fmt.Sprintf(format, args...)})
}

var (
	text     = reflect.TypeFor[encoding.TextUnmarshaler]()
	duration = reflect.TypeFor[time.Duration]()
)

func (c *check) node(n ast.Node, t reflect.Type, key string) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	tagged := n
	n = bare(n)
	switch n.(type) {
	case nil, *ast.NullNode, *ast.AliasNode, *ast.MergeKeyNode:
		return // the decoding itself looks at what an alias stands for
	}
	switch {
	case t.Kind() == reflect.Struct && !reflect.PointerTo(t).Implements(text):
		if c.mapping(n, key) {
			c.fields(n, t, key)
		}
	case t.Kind() == reflect.Map:
		if c.mapping(n, key) {
			for _, v := range pairs(n) {
				c.node(v.Value, t.Elem(), under(key, v))
			}
		}
	case t.Kind() == reflect.Slice:
		list, ok := n.(*ast.SequenceNode)
		if !ok {
			c.fail(n, key, "write a list such as [a, b]")
			return
		}
		for i, v := range list.Values {
			c.node(v, t.Elem(), fmt.Sprintf("%s[%d]", key, i))
		}
	default:
		c.scalar(tagged, t, key)
	}
}

func (c *check) mapping(n ast.Node, key string) bool {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return true
	}
	c.fail(n, key, "write keys with their values here")
	return false
}

func (c *check) fields(n ast.Node, t reflect.Type, key string) {
	known := map[string]reflect.Type{}
	var names []string
	add(known, &names, t)
	for _, v := range pairs(n) {
		if _, ok := v.Key.(*ast.MergeKeyNode); ok {
			continue
		}
		field, ok := known[name(v)]
		if !ok {
			c.fail(v.Key, under(key, v), "unknown key; known here: %s", strings.Join(names, ", "))
			continue
		}
		c.node(v.Value, field, under(key, v))
	}
}

func add(known map[string]reflect.Type, names *[]string, t reflect.Type) {
	for i := range t.NumField() {
		f := t.Field(i)
		tag, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case options == "inline":
			add(known, names, f.Type)
		case f.IsExported() && tag != "" && tag != "-":
			known[tag] = f.Type
			*names = append(*names, tag)
		}
	}
}

func (c *check) scalar(n ast.Node, t reflect.Type, key string) {
	v := reflect.New(t).Interface()
	if yaml.NodeToValue(n, v, yaml.Strict()) == nil {
		return
	}
	if w, ok := v.(Wanter); ok {
		c.fail(n, key, "write %s", w.Want())
		return
	}
	switch {
	case t == duration:
		c.fail(n, key, "write a duration such as 30s or 15m")
	case t == reflect.TypeFor[netip.Addr]():
		c.fail(n, key, "write an IPv4 or IPv6 address such as 198.51.100.1")
	case t == reflect.TypeFor[netip.Prefix]():
		c.fail(n, key, "write a network such as 10.1.0.0/16")
	case t.Kind() == reflect.Bool:
		c.fail(n, key, "write true or false")
	case t.Kind() == reflect.Uint16:
		c.fail(n, key, "write a whole number from 0 to 65535")
	case t.Kind() >= reflect.Int && t.Kind() <= reflect.Uint64:
		c.fail(n, key, "write a whole number")
	case t.Kind() == reflect.Float64:
		c.fail(n, key, "write a number")
	default:
		c.fail(n, key, "write one value here")
	}
}
