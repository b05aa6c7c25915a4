package devices

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/scrypt"
)

// Memory keeps small values over a restart; bot/store implements it.
type Memory interface {
	Set(ctx context.Context, key, value string) error
	Under(ctx context.Context, prefix string) (map[string]string, error)
}

// refusals remember over a restart which secrets were refused where, or a bot that is
// restarted again and again would lock an account. Of a secret a salted, slow hash is kept
// that only tells whether the configuration still holds the same one.
type refusals struct {
	mem Memory

	mu    sync.Mutex
	read  bool
	kept  map[string]string // by key, as the store has it
	asked map[string]bool   // keys that were compared with the present configuration
}

const refusedPrefix = "refused."

// memoryTime bounds a look into the store; a login does not fail for it.
const memoryTime = 5 * time.Second

func refusalKey(what string) string {
	sum := sha256.Sum256([]byte(what))
	return refusedPrefix + hex.EncodeToString(sum[:12])
}

func slowHash(secret string, salt []byte) []byte {
	h, err := scrypt.Key([]byte(secret), salt, 1<<15, 8, 1, 32)
	if err != nil {
		return nil // only for parameters that cannot be, and these can
	}
	return h
}

// note writes down that the secret was refused for what: a place, or a credential everywhere.
func (r *refusals) note(what, secret string) error {
	if r.mem == nil {
		return nil
	}
	salt := make([]byte, 16)
	_, _ = rand.Read(salt) // crypto/rand.Read never fails
	enc := base64.RawStdEncoding.EncodeToString
	return r.set(refusalKey(what), enc(salt)+"."+enc(slowHash(secret, salt)))
}

// set bounds the store's time alone: the slow hash before it may take seconds on a busy machine.
func (r *refusals) set(key, value string) error {
	ctx, cancel := context.WithTimeout(context.Background(), memoryTime)
	defer cancel()
	return r.mem.Set(ctx, key, value)
}

// stands tells whether the same secret was refused for what before the last restart. It
// answers once with yes: after that the fleet knows it.
func (r *refusals) stands(what, secret string) (bool, error) {
	if r.mem == nil {
		return false, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.read {
		ctx, cancel := context.WithTimeout(context.Background(), memoryTime)
		defer cancel()
		kept, err := r.mem.Under(ctx, refusedPrefix)
		if err != nil {
			return false, err
		}
		r.kept, r.read, r.asked = kept, true, map[string]bool{}
	}
	key := refusalKey(what)
	v := r.kept[key]
	if v == "" || r.asked[key] {
		return false, nil
	}
	r.asked[key] = true
	a, b, _ := strings.Cut(v, ".")
	salt, err1 := base64.RawStdEncoding.DecodeString(a)
	hash, err2 := base64.RawStdEncoding.DecodeString(b)
	if err1 == nil && err2 == nil && len(hash) > 0 && bytes.Equal(slowHash(secret, salt), hash) {
		return true, nil
	}
	return false, r.set(key, "") // the configuration has another secret since
}

// ForgetRefusals lets secrets that were refused before be tried again: a person who runs
// check --connect asks for it.
func ForgetRefusals(ctx context.Context, mem Memory) error {
	kept, err := mem.Under(ctx, refusedPrefix)
	if err != nil {
		return err
	}
	for key, v := range kept {
		if v != "" {
			if err := mem.Set(ctx, key, ""); err != nil {
				return err
			}
		}
	}
	return nil
}
