"""The web page: `streamlit run dashboard/app.py` from the project's folder."""

from pathlib import Path

import streamlit as st

from celflow.errors import UserError
from dashboard import server_status
from dashboard.pages import compare, draw, try_it

HERE = Path(__file__).parent


def main() -> None:
    """Lay out the frame, and run the page that the visitor chose."""
    st.set_page_config(page_title="celflow", page_icon="🎨", layout="wide")
    st.logo(HERE / "logo.svg", size="large")
    st.html(HERE / "style.css")
    # One line for each page, in the order of the menu.
    chosen = st.navigation(
        [
            st.Page(try_it.page, title="Try it", icon=":material/draw:", url_path="try-it"),
            st.Page(
                compare.page, title="Compare", icon=":material/compare_arrows:", url_path="compare"
            ),
            st.Page(draw.page, title="Draw", icon=":material/brush:", url_path="draw"),
        ]
    )
    try:
        with st.sidebar:
            server_status.show()
        chosen.run()
    except UserError as error:
        st.error(str(error), icon=":material/error:")


if __name__ == "__main__":
    main()
