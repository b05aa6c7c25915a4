package report

import (
	"bytes"
	"fmt"
	"image/color"
	"strconv"

	"git.sr.ht/~sbinet/gg"
	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
)

// pngScale makes text sharp on today's screens.
const pngScale = 1.5

// PNG draws a ladder as a PNG, for places that show no SVG (a chat).
func PNG(l Ladder) ([]byte, error) {
	shapes, height := layout(l)
	c := gg.NewContext(int(ladderWidth*pngScale), int(height*pngScale))
	c.SetColor(color.White)
	c.Clear()
	c.Scale(pngScale, pngScale)
	regular, err := opentype.Parse(goregular.TTF)
	if err != nil {
		return nil, fmt.Errorf("draw ladder: font: %w", err)
	}
	bold, err := opentype.Parse(gobold.TTF)
	if err != nil {
		return nil, fmt.Errorf("draw ladder: font: %w", err)
	}
	type key struct {
		size float64
		bold bool
	}
	faces := map[key]font.Face{}
	face := func(size float64, b bool) (font.Face, error) {
		k := key{size, b}
		if f, ok := faces[k]; ok {
			return f, nil
		}
		src := regular
		if b {
			src = bold
		}
		f, err := opentype.NewFace(src, &opentype.FaceOptions{Size: size * pngScale, DPI: 72, Hinting: font.HintingFull})
		if err != nil {
			return nil, fmt.Errorf("draw ladder: font size %g: %w", size, err)
		}
		faces[k] = f
		return f, nil
	}
	for _, s := range shapes {
		switch s.kind {
		case 'l':
			c.SetColor(rgb(s.ink))
			c.SetLineWidth(s.width * pngScale)
			if s.dash {
				c.SetDash(8*pngScale, 5*pngScale)
			}
			c.DrawLine(s.x1, s.y1, s.x2, s.y2)
			c.Stroke()
			c.SetDash()
		case 'r':
			c.DrawRectangle(s.x1, s.y1, s.x2, s.y2)
			if s.fill != none {
				c.SetColor(rgb(s.fill))
				c.FillPreserve()
			}
			if s.ink != none && s.width > 0 {
				c.SetColor(rgb(s.ink))
				c.SetLineWidth(s.width * pngScale)
				c.StrokePreserve()
			}
			c.ClearPath()
		case 'p':
			c.SetColor(rgb(s.ink))
			c.MoveTo(s.x1, s.y1)
			c.LineTo(s.x2, s.y2)
			c.LineTo(s.x3, s.y3)
			c.ClosePath()
			c.Fill()
		case 'd':
			c.MoveTo(s.x1-s.x2, s.y1)
			c.LineTo(s.x1, s.y1-s.x2)
			c.LineTo(s.x1+s.x2, s.y1)
			c.LineTo(s.x1, s.y1+s.x2)
			c.ClosePath()
			c.SetColor(rgb(s.fill))
			c.FillPreserve()
			c.SetColor(rgb(s.ink))
			c.SetLineWidth(s.width * pngScale)
			c.Stroke()
		case 't':
			f, err := face(s.size, s.bold)
			if err != nil {
				return nil, err
			}
			// Text is drawn in device pixels: a scaled face would be blurred.
			c.Push()
			c.Identity()
			c.SetFontFace(f)
			c.SetColor(rgb(s.ink))
			ax := map[byte]float64{'s': 0, 'm': 0.5, 'e': 1}[s.anchor]
			c.DrawStringAnchored(s.text, s.x1*pngScale, s.y1*pngScale, ax, 0)
			c.Pop()
		}
	}
	var b bytes.Buffer
	if err := c.EncodePNG(&b); err != nil {
		return nil, fmt.Errorf("draw ladder: %w", err)
	}
	return b.Bytes(), nil
}

func rgb(i ink) color.Color {
	if len(i) != 7 {
		return color.Black
	}
	v, err := strconv.ParseUint(string(i[1:]), 16, 32)
	if err != nil {
		return color.Black
	}
	return color.RGBA{uint8(v >> 16), uint8(v >> 8), uint8(v), 255}
}
