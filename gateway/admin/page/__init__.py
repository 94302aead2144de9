"""The web page of the admin interface: what `gw status` shows, for people without a terminal.

`view` decides what is shown, `charts` draws, `templates/` says how it looks, `routes` answers. Everything is rendered
here, so that the page is whole without JavaScript; `assets/page.js` asks for it again and changes what is different.
"""
